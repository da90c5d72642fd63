"""Independent draws of yes and no, a byte each.

Pair selection draws millions of them a step, and with uniforms in float32 it would spend most of
its time on them. A byte decides all but one draw in 256; 53 further bits decide that one, so that
probabilities are what they are given as.
"""

import numpy as np
import torch
from torch import Tensor

from sslbench.nn.chances import Chances

_SPARE = 11  # bits of 64 that a double does not hold


def bernoulli(seed: int, chances: Chances, rows: Tensor) -> Tensor:
    """N x K, True with the probability in column k of row ``rows[i]``; the same on every device."""
    bits = np.random.SFC64(seed)
    shape = len(rows), chances.whole.shape[1]
    count = shape[0] * shape[1]
    drawn = torch.from_numpy(bits.random_raw(-(-count // 8)).view(np.uint8)[:count])
    drawn = drawn.to(rows.device).view(shape)
    bound = chances.whole.index_select(0, rows)
    happens, undecided = drawn < bound, drawn == bound
    further = _found if rows.device.type == "cpu" else _counted
    return further(bits, happens, undecided, chances, rows)


def _found(
    bits: np.random.SFC64, happens: Tensor, undecided: Tensor, chances: Chances, rows: Tensor
) -> Tensor:
    """Decides the rest of the draws, one by one."""
    ties = np.flatnonzero(undecided.numpy())  # several times as fast as torch's
    row, column = map(torch.from_numpy, np.divmod(ties, happens.shape[1]))
    rest = chances.rest(rows[row], column)
    happens.view(-1)[torch.from_numpy(ties)] = _uniforms(bits, len(ties)) < rest
    return happens


def _counted(
    bits: np.random.SFC64, happens: Tensor, undecided: Tensor, chances: Chances, rows: Tensor
) -> Tensor:
    """The same without reading back from a GPU how many there are."""
    most = happens.numel() // 64 + 64  # four times as many as are expected
    order = (undecided.view(-1).cumsum(0) - 1).clamp_(0, most - 1)
    further = _uniforms(bits, most).to(rows.device)[order].view(happens.shape)
    return happens | (undecided & (further < chances.rests(rows)))


def _uniforms(bits: np.random.SFC64, count: int) -> Tensor:
    """In [0, 1), float64."""
    return torch.from_numpy((bits.random_raw(count) >> _SPARE) * 2.0**-53)
