"""Features that are at hand, as what linear classifiers are trained on and compared by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sslbench.nn.blocks import BlockInput
from sslbench.nn.linear import Rows, Standardiser
from sslbench.nn.linear_selection import Source, Split, Standardisers
from sslbench.nn.linear_training import CachedBatches, Stream


@dataclass(frozen=True)
class CachedSource(Source):
    """One input, standardised by statistics of the images that heads are trained on.

    All heads start from zeros.
    """

    read: Callable[[Split], tuple[Tensor, Tensor]]  # features (N x D) and labels (N) of a split
    classes: int
    batch_size: int
    seed: int
    device: torch.device

    def features(self, split: Split, inputs: Sequence[BlockInput]) -> tuple[list[Tensor], Tensor]:
        x, labels = self.read(split)
        return [x], labels

    def stream(self, split: Split, inputs: Sequence[BlockInput]) -> tuple[Stream, Standardisers]:
        x, labels = self.read(split)
        standardise = Standardiser.of(x).to(self.device)
        rows = Rows(x, self.device, standardise)
        labels = labels.to(self.device)
        return CachedBatches([rows], labels, self.batch_size, self.seed), [standardise]

    def first_weights(self, given: BlockInput, dim: int) -> Tensor:
        return torch.zeros(dim, self.classes, device=self.device)
