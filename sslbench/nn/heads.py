"""Heads: what sits on the encoder during pre-training only."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

from torch import nn

from sslbench.errors import ConfigError

_RELU = partial(nn.ReLU, inplace=True)


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
