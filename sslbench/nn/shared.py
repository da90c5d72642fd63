"""A batch that ranks share: each encodes its own part, and all see the features of the whole.

What follows the encoder, heads and losses, is then the same on every rank, and so a method knows
nothing of ranks. Batch norm is that of the chunks (``bn_splits``), which ranks divide: its running
statistics come out as if one process had seen the chunks one after the other.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sslbench import collectives, distributed
from sslbench.errors import ConfigError
from sslbench.nn.config import EncoderConfig

M = TypeVar("M", bound=nn.Module)


def shared(
    encode: Callable[[Tensor, int], Tensor], network: nn.Module, images: Tensor, splits: int
) -> Tensor:
    """``encode(part, chunks)`` of this rank's part of N x ... ``images`` -> N x D, of all ranks.

    Raises ConfigError where ranks divide neither images nor chunks.
    """
    ranks = distributed.size()
    if splits > 1 and splits % ranks:
        raise ConfigError(
            f"encoder.bn_splits = {splits}: {ranks} ranks do not divide the chunks of a batch. "
            f"Nearest that works: {-(-splits // ranks) * ranks}"
        )
    statistics = _Statistics(network) if splits > 1 else None
    features = encode(images[distributed.share(len(images))], max(splits // ranks, 1))
    if statistics is not None:
        statistics.merge()
    return collectives.gathered(features)


def synchronised(method: M) -> M:
    """The method, in whose encoders batch norm takes its statistics over all ranks.

    Only where there are several and the batch is not in chunks (``bn_splits`` 1); on GPUs.
    """
    for module in list(method.modules()):
        config = getattr(module, "config", None)
        if isinstance(config, EncoderConfig) and config.bn_splits == 1 and distributed.size() > 1:
            convert: Any = nn.SyncBatchNorm.convert_sync_batchnorm
            module.network = convert(module.network)
    return method


class _Statistics:
    """The running statistics of a network's batch norms before a rank's part of a batch.

    An update keeps ``1 - momentum`` of what was there. So u updates on each of W ranks leave, of
    the statistics R before and r_k on rank k, what u W updates in a row would have left:
    a^(uW) R + sum over k of a^(u (W - 1 - k)) (r_k - a^u R), with a = 1 - momentum.
    """

    def __init__(self, network: nn.Module) -> None:
        self.norms = [
            module
            for module in network.modules()
            if isinstance(module, _BatchNorm)
            and module.track_running_stats
            and not isinstance(module, nn.SyncBatchNorm)
        ]
        self.before = [buffer.clone() for norm in self.norms for buffer in _buffers(norm)]
        self.seen = [int(norm.num_batches_tracked or 0) for norm in self.norms]

    @torch.no_grad()
    def merge(self) -> None:
        buffers = [buffer for norm in self.norms for buffer in _buffers(norm)]
        if not buffers:
            return
        ranks = distributed.size()
        mine = torch.cat([buffer.double() for buffer in buffers])
        parts = collectives.gathered(mine[None])  # W x all
        before = torch.cat([buffer.double() for buffer in self.before])
        kept = torch.cat(
            [
                torch.full_like(buffer, _kept(norm) ** self._updates(number), dtype=torch.float64)
                for number, norm in enumerate(self.norms)
                for buffer in _buffers(norm)
            ]
        )
        merged = before
        for part in parts:  # a^u of what is there, and what this rank's chunks added
            merged = kept * merged + (part - kept * before)
        for buffer, values in zip(
            buffers, torch.split(merged, [buffer.numel() for buffer in buffers]), strict=True
        ):
            # Behind autograd's back, which would refuse: a backward pass in training needs none.
            buffer.data.copy_(values)
        for number, norm in enumerate(self.norms):
            assert norm.num_batches_tracked is not None
            norm.num_batches_tracked.add_((ranks - 1) * self._updates(number))

    def _updates(self, number: int) -> int:
        tracked = self.norms[number].num_batches_tracked
        return int(tracked) - self.seen[number] if tracked is not None else 0


def _buffers(norm: _BatchNorm) -> list[Tensor]:
    return [b for b in (norm.running_mean, norm.running_var) if b is not None]


def _kept(norm: _BatchNorm) -> float:
    if norm.momentum is None:
        raise ConfigError("a batch norm without momentum cannot be shared between ranks")
    return 1 - norm.momentum
