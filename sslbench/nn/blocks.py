"""What a frozen encoder's last blocks say, as inputs of linear classifiers.

Oquab et al., "DINOv2", arXiv:2304.07193, appendix B.3 and released code: the class tokens of the
last n blocks side by side, each after the network's final norm, with or without the mean patch
token of the last. A network without tokens has stages instead of blocks, and each says the mean
over the positions of its map.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sslbench.errors import ConfigError, Diverged
from sslbench.nn.encoder import Encoder
from sslbench.nn.towers import Towers


@dataclass(frozen=True)
class BlockInput:
    """The last ``blocks`` blocks, with or without the mean patch token; 0: the encoder's output."""

    blocks: int = 0
    mean_patch: bool = False

    def __str__(self) -> str:
        if not self.blocks:
            return "output"
        return f"last {self.blocks}{' and mean patch' if self.mean_patch else ''}"


def block_inputs(
    encoder: Encoder, blocks: Iterable[int], mean_patch: Iterable[bool]
) -> list[BlockInput]:
    """Every combination that differs: without patch tokens there is no mean to add.

    Raises ConfigError if the encoder has too few blocks, or none that can be read.
    """
    network = encoder.network
    parts = [network.lightness, network.colour] if isinstance(network, Towers) else [network]
    name = encoder.config.name
    if not all(hasattr(part, "forward_intermediates") for part in parts):
        raise ConfigError(f"blocks: timm cannot read those of {name!r}. Use blocks: []")
    there = min(len(part.feature_info) for part in parts)
    wanted = list(blocks)
    if max(wanted) > there:
        raise ConfigError(f"blocks {wanted}: encoder {name!r} has {there}")
    if has_tokens(encoder) and getattr(network, "cls_token", None) is None:
        raise ConfigError(f"blocks: {name!r} has no class token to read. Use blocks: []")
    means = list(mean_patch) if has_tokens(encoder) else [False]
    return [BlockInput(number, mean) for number in wanted for mean in means]


def has_tokens(encoder: Encoder) -> bool:
    """Whether the blocks are of tokens, as in a vision transformer, rather than of maps."""
    return hasattr(encoder.network, "num_prefix_tokens")


def read_blocks(encoder: Encoder, images: Tensor, inputs: Sequence[BlockInput]) -> list[Tensor]:
    """The features of each input, N x D_i, in one forward pass of images N x 3 x H x W."""
    with torch.no_grad():
        images = images.contiguous(memory_format=torch.channels_last)
        return [features.float() for features in _read(encoder, images, inputs)]


def _read(encoder: Encoder, images: Tensor, inputs: Sequence[BlockInput]) -> list[Tensor]:
    most = max(wanted.blocks for wanted in inputs)
    if not most:
        output: Tensor = encoder(images)
        return [output] * len(inputs)
    seen = encoder.normalized(images)
    if not has_tokens(encoder):
        maps = encoder.network.forward_intermediates(seen, indices=most, intermediates_only=True)
        means = [stage.mean(dim=(2, 3)) for stage in maps]
        return [torch.cat(means[-wanted.blocks :], 1) for wanted in inputs]
    pairs = encoder.network.forward_intermediates(
        seen,
        indices=most,
        return_prefix_tokens=True,
        norm=True,
        output_fmt="NLC",
        intermediates_only=True,
    )
    classes = [prefix[:, 0] for _, prefix in pairs]  # each N x D
    mean = pairs[-1][0].mean(dim=1)
    return [
        torch.cat([*classes[-wanted.blocks :], *([mean] if wanted.mean_patch else [])], 1)
        for wanted in inputs
    ]


def read_images(
    encoder: Encoder, views: Iterable[Tensor], total: int, inputs: Sequence[BlockInput]
) -> list[Tensor]:
    """The features of each input of ``total`` images that come in batches: N x D_i on the CPU.

    Raises Diverged if one is not finite.
    """
    rows: list[Tensor] = []
    done = 0
    for images in views:
        read = read_blocks(encoder, images, inputs)
        if not rows:  # all at once: joined later, they would take twice the memory
            rows = [torch.empty(total, x.shape[1]) for x in read]
        for kept, x in zip(rows, read, strict=True):
            kept[done : done + len(x)] = x
        done += len(images)
    if not all(bool(x.isfinite().all()) for x in rows):
        raise Diverged("features of the encoder's blocks are not finite")
    return rows
