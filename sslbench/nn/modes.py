"""Looking at a method in the middle of its training."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def measuring(module: nn.Module) -> Iterator[None]:
    """No gradient, every module in eval mode, so that batch norm stays as it is; then as before."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in modes.items():
            part.training = training
