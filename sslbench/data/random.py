"""Random numbers of views: a table that depends on (seed, epoch, image, view) and on nothing else.

Counter-based, as in Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011), with
SplitMix64's finaliser (Steele et al., OOPSLA 2014) as the mixing function. Only integer operations
on int64 tensors, whose products wrap, so that the numbers are the same on every device, in any
batch and in any process.
"""

import hashlib
from enum import IntEnum

import torch
from torch import Tensor


class Column(IntEnum):
    """Where a transform finds its numbers. Recipes that share a transform draw the same for it."""

    JITTER, ORDER, BRIGHTNESS, CONTRAST, SATURATION, HUE = range(6)
    GRAYSCALE = 6
    BLUR, BLUR_SIGMA = range(7, 9)
    NOISE, NOISE_KEY = range(9, 11)
    SOLARIZE = 11
    FLIP = 12
    ROTATE, ROTATE_ANGLE = range(13, 15)
    CROP_LEFT, CROP_TOP = range(15, 17)
    CROP_AREA_AND_RATIO = 17  # and as many pairs more as there are tries


CROP_TRIES = 10  # torchvision's RandomResizedCrop gives up after so many
COLUMNS = Column.CROP_AREA_AND_RATIO + 2 * CROP_TRIES

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


def derive_seed(seed: int, *axes: str | int) -> int:
    """A seed of 63 bits for a named use of the run's seed: ``derive_seed(0, "order", epoch)``."""
    text = "/".join(f"{type(axis).__name__}:{axis}" for axis in (seed, *axes))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def uniforms(seed: int, epoch: int, index: Tensor, view: int, columns: int) -> Tensor:
    """N x columns, float32 in [0, 1), for the images at the positions ``index`` (N, integers).

    A row depends on its own (seed, epoch, position, view) only, and a number besides that on its
    column only: asking for more columns changes none of the first.
    """
    rows = _mixed(index.to(torch.int64) * _signed(_GOLDEN) + derive_seed(seed, "view", epoch, view))
    return _unit(_counted(rows, columns))


def normals(key: Tensor, count: int) -> Tensor:
    """N x count, float32, mean 0 and variance 1, out of one uniform per row (N)."""
    half = (count + 1) // 2
    rows = _mixed((key.double() * 2.0**53).to(torch.int64) ^ _signed(_FIRST))
    pair = _unit(_counted(rows, 2 * half))
    radius = (1 - pair[:, :half]).log_().mul_(-2).sqrt_()  # Box and Muller; 1 - u is never 0
    angle = pair[:, half:] * (2 * torch.pi)
    return torch.cat([radius * angle.cos(), radius * angle.sin()], 1)[:, :count]


def permutation(seed: int, epoch: int, n: int) -> Tensor:
    """The order of an epoch: 0 .. n - 1 shuffled (N, int64, on the CPU)."""
    key = derive_seed(seed, "order", epoch)
    bits = _mixed(torch.arange(n) * _signed(_GOLDEN) + key)
    return torch.argsort(bits, stable=True)


def _counted(rows: Tensor, columns: int) -> Tensor:
    """N x columns of 64 random bits out of one key per row (N)."""
    counter = torch.arange(1, columns + 1, device=rows.device) * _signed(_GOLDEN)
    return _mixed(rows[:, None] + counter)


def _mixed(bits: Tensor) -> Tensor:
    bits = (bits ^ _shifted(bits, 30)) * _signed(_FIRST)
    bits = (bits ^ _shifted(bits, 27)) * _signed(_SECOND)
    return bits ^ _shifted(bits, 31)


def _shifted(bits: Tensor, places: int) -> Tensor:
    """A logical shift to the right: that of int64 tensors would copy the sign."""
    return (bits >> places) & (_MASK >> places)


def _unit(bits: Tensor) -> Tensor:
    """The upper 24 bits, all that float32 holds, as numbers in [0, 1)."""
    return _shifted(bits, 40).to(torch.float32) * 2.0**-24


def _signed(number: int) -> int:
    """64 bits as an int64 tensor counts them."""
    return number - (1 << 64) if number >> 63 else number
