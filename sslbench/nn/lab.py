"""CIE Lab: lightness L, and the colour axes a (green to red) and b (blue to yellow).

CIE 15, Colorimetry; RGB is sRGB (IEC 61966-2-1), whose white is D65.
"""

import torch
from torch import Tensor

# The middle of L, a and b over all colours of sRGB, and half of their range.
CENTRE = (50.0, (98.233 - 86.183) / 2, (94.478 - 107.857) / 2)
HALF_RANGE = (50.0, (98.233 + 86.183) / 2, (94.478 + 107.857) / 2)

_XYZ = (  # of linear red, green and blue
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
# Each row over its sum, the white's X, Y or Z: so white is (1, 1, 1), and no grey has a colour.
_RELATIVE = tuple(tuple(weight / sum(row) for weight in row) for row in _XYZ)
_DELTA = 6 / 29  # below it Lab's cube root is a straight line


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """N x 3 x H x W of sRGB in [0, 1] -> N x 3 x H x W of L, a and b, in fp32 at least."""
    rgb = rgb.float() if rgb.dtype in (torch.float16, torch.bfloat16) else rgb
    curved = ((rgb.clamp_min(0.04045) + 0.055) / 1.055).pow(2.4)
    red, green, blue = torch.where(rgb > 0.04045, curved, rgb / 12.92).unbind(1)
    x, y, z = (_root(r * red + g * green + b * blue) for r, g, b in _RELATIVE)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """The inverse of ``rgb_to_lab``, for colours that sRGB has."""
    lightness, a, b = lab.unbind(1)
    y = (lightness + 16) / 116
    xyz = torch.stack([_cube(y + a / 500), _cube(y), _cube(y - b / 200)], 1)
    inverse = torch.linalg.inv(torch.tensor(_RELATIVE, dtype=torch.float64)).tolist()
    channels = [sum(w * p for w, p in zip(row, xyz.unbind(1), strict=True)) for row in inverse]
    linear = torch.stack(channels, 1).clamp_min(0)  # of rounding errors
    curved = 1.055 * linear.clamp_min(0.0031308).pow(1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, curved, 12.92 * linear)


def _root(share: Tensor) -> Tensor:
    """Lab's cube root of a share of the white's X, Y or Z."""
    line = share / (3 * _DELTA**2) + 4 / 29
    return torch.where(share > _DELTA**3, share.clamp_min(_DELTA**3).pow(1 / 3), line)


def _cube(root: Tensor) -> Tensor:
    return torch.where(root > _DELTA, root**3, 3 * _DELTA**2 * (root - 4 / 29))
