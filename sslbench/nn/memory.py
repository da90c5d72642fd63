"""A memory of the last keys.

He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", arXiv:1911.05722,
section 3.2.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from sslbench.errors import ConfigError


class FeatureQueue(nn.Module):
    """The last ``size`` keys, first in, first out.

    It starts full of random unit vectors (as the released code does), so it never has to say how
    much of it is real.
    """

    features: Tensor  # size x dim, unit rows
    index: Tensor  # size, the image that each key came from; -1 where it came from none
    pointer: Tensor  # the row that is written next

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        if size < 1:
            raise ConfigError(f"a queue of {size} keys: expected at least one")
        self.register_buffer("features", normalize(torch.randn(size, dim)))
        self.register_buffer("index", torch.full((size,), -1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))

    def __len__(self) -> int:
        return len(self.features)

    @torch.no_grad()
    def push(self, features: Tensor, index: Tensor | None = None) -> None:
        """Put N x dim ``features`` of the images ``index`` in place of the oldest N rows."""
        size, count = len(self.features), len(features)
        # Of a batch larger than the queue only the last rows would survive.
        rows = torch.arange(max(0, count - size), count, device=features.device)
        places = (self.pointer + rows) % size
        # A new tensor: the old one is still needed by the backward pass of this step's loss.
        self.features = self.features.index_copy(0, places, features[rows].to(self.features))
        source = self.index.new_full((len(rows),), -1) if index is None else index[rows]
        self.index = self.index.index_copy(0, places, source)
        self.pointer = (self.pointer + count) % size
