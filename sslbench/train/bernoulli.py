"""Independent draws of yes and no, a byte each.

Pair selection draws millions of them a step, and with uniforms in float32 it would spend most of
its time on them. A byte decides all but one draw in 256; 53 further bits decide that one, so that
probabilities are what they are given as.
"""

import numpy as np
import torch
from torch import Tensor

_BYTE = 256
_SPARE = 11  # bits of 64 that a double does not hold


def bernoulli(seed: int, probability: Tensor, rows: Tensor) -> Tensor:
    """N x K, True with the probability ``probability[rows[i], k]``; the same on every device.

    probability: M x K, in [0, 1]; rows: N, of M.
    """
    bits = np.random.SFC64(seed)
    shape = len(rows), probability.shape[1]
    count = shape[0] * shape[1]
    # Of a probability of 1 the rest is 1. By way of 16 bits, for torch takes three times as long
    # from floats to bytes.
    whole = (probability.float() * _BYTE).clamp_max_(_BYTE - 1).to(torch.int16).to(torch.uint8)
    drawn = torch.from_numpy(bits.random_raw(-(-count // 8)).view(np.uint8)[:count])
    drawn = drawn.to(rows.device).view(shape)
    bound = whole.index_select(0, rows)
    happens, undecided = drawn < bound, drawn == bound
    further = _found if rows.device.type == "cpu" else _counted
    return further(bits, happens, undecided, probability, whole, rows)


def _found(
    bits: np.random.SFC64,
    happens: Tensor,
    undecided: Tensor,
    probability: Tensor,
    whole: Tensor,
    rows: Tensor,
) -> Tensor:
    """Decides the rest of the draws, one by one."""
    ties = np.flatnonzero(undecided.numpy())  # several times as fast as torch's
    place = torch.from_numpy(ties)
    width = probability.shape[1]
    at = rows[place // width], place % width
    rest = probability[at].float() * _BYTE - whole[at]
    happens.view(-1)[place] = _uniforms(bits, len(ties)) < rest
    return happens


def _counted(
    bits: np.random.SFC64,
    happens: Tensor,
    undecided: Tensor,
    probability: Tensor,
    whole: Tensor,
    rows: Tensor,
) -> Tensor:
    """The same without reading back from a GPU how many there are."""
    most = happens.numel() // 64 + 64  # four times as many as are expected
    order = (undecided.view(-1).cumsum(0) - 1).clamp_(0, most - 1)
    further = _uniforms(bits, most).to(rows.device)[order].view(happens.shape)
    rest = (probability.float() * _BYTE - whole).index_select(0, rows)
    return happens | (undecided & (further < rest))


def _uniforms(bits: np.random.SFC64, count: int) -> Tensor:
    """In [0, 1), float64."""
    return torch.from_numpy((bits.random_raw(count) >> _SPARE) * 2.0**-53)
