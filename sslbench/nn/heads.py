"""Heads: what sits on the encoder during pre-training only.

Prototypes lie in a head's space, so a run that has some keeps its head beside them.
"""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from sslbench.errors import ConfigError

_RELU = partial(nn.ReLU, inplace=True)
HEAD = "head."  # what the names of a head's tensors begin with among a run's artifacts


def mlp(
    *widths: int,
    batch_norm: bool = False,
    last_norm: bool = False,
    last_affine: bool = True,
    last_bias: bool = True,
    activation: Callable[[], nn.Module] = _RELU,
) -> nn.Sequential:
    """Linear layers from ``widths[0]`` to ``widths[-1]`` with ReLU between: N x first -> N x last.

    ``activation`` makes what stands in place of ReLU. ``batch_norm`` puts a batch norm before each
    of them, ``last_norm`` one behind the last layer (of no scale and shift of its own without
    ``last_affine``); a layer that a batch norm follows has no bias, and the last has none without
    ``last_bias``. Two widths are a single linear layer. Raises ConfigError for fewer.
    """
    if len(widths) < 2 or min(widths) < 1:
        raise ConfigError(f"a head needs two or more positive widths, given {list(widths)}")
    layers: list[nn.Module] = []
    for depth, (inputs, outputs) in enumerate(pairwise(widths), start=1):
        is_last = depth == len(widths) - 1
        normed = last_norm if is_last else batch_norm
        biased = not normed and (last_bias or not is_last)
        layers.append(nn.Linear(inputs, outputs, bias=biased))
        if normed:
            layers.append(nn.BatchNorm1d(outputs, affine=last_affine or not is_last))
        if not is_last:
            layers.append(activation())
    return nn.Sequential(*layers)


def head_artifacts(head: nn.Sequential) -> dict[str, Tensor]:
    """A head's tensors, by names out of which ``imported_head`` makes it again.

    Raises ConfigError for layers other than Linear, BatchNorm1d and ReLU.
    """
    strange = [type(layer).__name__ for layer in head if not _is_known(layer)]
    if strange:
        raise ConfigError(
            f"a head of Linear, BatchNorm1d and ReLU can be exported, this one has {strange[0]}"
        )
    return {f"{HEAD}{name}": tensor.clone() for name, tensor in head.state_dict().items()}


def imported_head(artifacts: Mapping[str, Tensor]) -> nn.Sequential | None:
    """The head among a run's artifacts, frozen and in eval mode; None if none was exported.

    Layers are numbered, each known by its tensors: those with running statistics are batch norms,
    others with a weight are linear, and a number without tensors is a ReLU.
    """
    tensors = {
        name.removeprefix(HEAD): tensor
        for name, tensor in artifacts.items()
        if name.startswith(HEAD)
    }
    if not tensors:
        return None
    last = max(int(name.partition(".")[0]) for name in tensors)
    head = nn.Sequential(*(_layer(tensors, f"{number}.") for number in range(last + 1)))
    head.load_state_dict(tensors)
    return head.to(next(iter(tensors.values())).device).eval().requires_grad_(False)


def _is_known(layer: nn.Module) -> bool:
    if isinstance(layer, nn.BatchNorm1d):
        return layer.eps == nn.BatchNorm1d(1).eps  # which no tensor tells
    return isinstance(layer, nn.Linear | nn.ReLU)


def _layer(tensors: Mapping[str, Tensor], prefix: str) -> nn.Module:
    weight = tensors.get(f"{prefix}weight")
    mean = tensors.get(f"{prefix}running_mean")
    if mean is not None:
        return nn.BatchNorm1d(len(mean), affine=weight is not None)
    if weight is None:
        return nn.ReLU()
    return nn.Linear(weight.shape[1], weight.shape[0], bias=f"{prefix}bias" in tensors)
