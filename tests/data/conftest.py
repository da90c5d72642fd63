"""Pictures that the tests of views share."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sslbench.data.images import decode

Pictures = Callable[[int, int, int], Tensor]


def _smooth_and_noisy(count: int, height: int, width: int) -> Tensor:
    """Colour gradients, edges, flat greys and white noise: N x 3 x height x width, uint8."""
    generator = torch.Generator().manual_seed(0)
    y = torch.linspace(0, 1, height)[:, None]
    x = torch.linspace(0, 1, width)
    phase = torch.rand(count, 3, 4, generator=generator)[..., None, None]
    waves = (6 * (phase[:, :, 0] * x + phase[:, :, 1] * y) + 6 * phase[:, :, 2]).sin() / 2 + 0.5
    images = waves + 0.3 * torch.rand(count, 3, height, width, generator=generator) - 0.15
    noise, edge, flat = (number % count for number in range(3))
    images[noise] = torch.rand(3, height, width, generator=generator)  # noise
    images[edge] = (x > 0.5).float().expand(3, height, width)  # an edge between black and white
    images[flat] = 0.4  # flat grey
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)


CIFAR10 = pytest.param("cifar10", marks=pytest.mark.needs_shared)


@pytest.fixture(scope="session")
def pictures() -> Pictures:
    """``pictures(count, height, width)``."""
    return _smooth_and_noisy


@pytest.fixture(scope="module", params=["synthetic", CIFAR10])
def images(request: pytest.FixtureRequest) -> Tensor:
    if request.param == "synthetic":
        return _smooth_and_noisy(48, 32, 32)
    root = os.environ.get("SSLBENCH_DATA")
    files = sorted(Path(root, "cifar10", "train").glob("*/000*.*g")) if root else []
    if not files:
        pytest.skip("SSLBENCH_DATA holds no cifar10")
    return torch.stack([decode(path) for path in files[:48]])
