"""Two networks of half the width side by side: one sees lightness, the other colour.

Tian et al., "Contrastive Multiview Coding", ECCV 2020, arXiv:1906.05849, section 4.1.
"""

from typing import Any

import torch
from torch import Tensor, nn


class Towers(nn.Module):
    """In place of a network of timm: N x 3 x H x W of L, a and b -> N x ``num_features``.

    The first half of all channels is the lightness tower's, the second the colour tower's.
    """

    def __init__(self, lightness: Any, colour: Any) -> None:
        """lightness takes one channel, colour two; both are ResNets of timm of the same width."""
        super().__init__()
        self.lightness, self.colour = lightness, colour
        self.num_features: int = lightness.num_features + colour.num_features

    def forward(self, lab: Tensor) -> Tensor:
        return torch.cat([self.lightness(lab[:, :1]), self.colour(lab[:, 1:])], 1)

    def forward_intermediates(self, lab: Tensor, **options: Any) -> list[Tensor]:
        """As timm's, with the two towers' maps of a stage concatenated."""
        pairs = zip(
            self.lightness.forward_intermediates(lab[:, :1], **options),
            self.colour.forward_intermediates(lab[:, 1:], **options),
            strict=True,
        )
        return [torch.cat(pair, 1) for pair in pairs]

    @property
    def layer3(self) -> nn.Module:
        """Stage 4 of both, as a detector with a C4 head looks for it."""
        return _Side(self.lightness.layer3, self.colour.layer3)

    @property
    def layer4(self) -> nn.Module:
        """Stage 5 of both, which takes what ``forward_intermediates`` gives of stage 4."""
        return _Side(self.lightness.layer4, self.colour.layer4)


class _Side(nn.Module):
    """Each module on its half of the channels."""

    def __init__(self, lightness: nn.Module, colour: nn.Module) -> None:
        super().__init__()
        self.lightness, self.colour = lightness, colour

    def forward(self, maps: Tensor) -> Tensor:
        one, other = maps.chunk(2, 1)
        return torch.cat([self.lightness(one), self.colour(other)], 1)
