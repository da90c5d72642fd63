"""Momentum copies: modules that follow others slowly.

He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", arXiv:1911.05722,
section 3.2.
"""

import math
from copy import deepcopy

import torch
from torch import Tensor, nn

from sslbench.errors import ConfigError


def cosine_momentum(base: float, progress: float) -> float:
    """From ``base`` at progress 0 to 1 at progress 1, along half a cosine.

    Grill et al., "Bootstrap Your Own Latent", arXiv:2006.07733, section 3.3; also MoCo v3, DINO.
    """
    return 1 - (1 - base) * (1 + math.cos(math.pi * progress)) / 2


class MomentumCopy(nn.Module):
    """Copies of modules, run one after the other, that no gradient reaches.

    ``update`` moves parameters only: the running statistics of batch norm stay those of the
    copies' own batches, as in the released code of MoCo.
    """

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.copies = nn.ModuleList(deepcopy(module) for module in modules).requires_grad_(False)

    def forward(self, inputs: Tensor) -> Tensor:
        for module in self.copies:
            inputs = module(inputs)
        return inputs

    @torch.no_grad()
    def update(self, *modules: nn.Module, momentum: float) -> None:
        """Each parameter becomes ``momentum`` of itself and the rest of its original.

        ``modules`` are the originals, in the order of construction. Raises ConfigError for a
        momentum outside [0, 1].
        """
        if not 0 <= momentum <= 1:
            raise ConfigError(f"momentum = {momentum}: expected a number from 0 to 1")
        followers: list[Tensor] = [*self.copies.parameters()]
        leaders: list[Tensor] = [
            parameter for module in modules for parameter in module.parameters()
        ]
        if len(followers) != len(leaders):
            raise ValueError(f"{len(leaders)} parameters given, the copy has {len(followers)}")
        torch._foreach_lerp_(followers, leaders, 1 - momentum)
