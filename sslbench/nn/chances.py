"""Probabilities as draws of a byte each need them."""

import torch
from torch import Tensor

_BYTE = 256


class Chances:
    """M x K probabilities; one call of ``context.bernoulli`` takes N of the rows.

    A byte decides a draw, unless it equals the probability's own: 256 of it, rounded down. Those
    bytes are made here, because most of a table serves many draws.
    """

    def __init__(self, probability: Tensor) -> None:
        self.probability = probability.float()
        self.whole = _whole(self.probability)  # M x K, uint8

    def replace(self, columns: slice, probability: Tensor) -> None:
        """``probability``: M x as many."""
        self.probability[:, columns] = probability
        self.whole[:, columns] = _whole(probability.float())

    def rest(self, row: Tensor, column: Tensor) -> Tensor:
        """What is left of 256 times the probability beyond the byte, in [0, 1], at each place."""
        at = row, column
        return self.probability[at] * _BYTE - self.whole[at]

    def rests(self, rows: Tensor) -> Tensor:
        """The same of whole rows: N x K."""
        return (self.probability * _BYTE - self.whole).index_select(0, rows)


def _whole(probability: Tensor) -> Tensor:
    # Of a probability of 1 the rest is 1. By way of 16 bits, for torch takes three times as long
    # from floats to bytes.
    return (probability * _BYTE).clamp_max_(_BYTE - 1).to(torch.int16).to(torch.uint8)
