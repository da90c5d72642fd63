"""A coarse map laid over the image that it is of."""

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from sslbench.gallery.sheet import STEP
from sslbench.report.plots import INK

COLOURS = "viridis"  # grows lighter evenly, for every eye and in grey print
SIDE, LARGEST = 64, 112  # pixels: less would be as coarse as the map, more is not seen
DARKEST = 0.35  # of a map's colours, where the image under it is darkest


def stretched(maps: Tensor) -> Tensor:
    """Each map (N x H x W) from its own least to its own largest value: 0 to 1; constant: 0."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low).clamp_min(1e-12)


def coloured(maps: Tensor) -> NDArray[np.uint8]:
    """N x H x W in [0, 1] -> N x H x W x 3."""
    found: NDArray[np.uint8] = colormaps[COLOURS](maps.detach().cpu().numpy(), bytes=True)[..., :3]
    return found


def laid_over(images: Tensor, maps: Tensor) -> NDArray[np.uint8]:
    """Images (N x 3 x S x S in [0, 1]) in grey under maps (N x H x W in [0, 1]), made as large."""
    grey = stretched(images.mean(1))[:, None]
    side = images.shape[-1] * -(-SIDE // images.shape[-1])
    if side > LARGEST:
        side = LARGEST
        grey = interpolate(grey, side, mode="bilinear", antialias=True)[:, 0]
    else:
        grey = interpolate(grey, side, mode="nearest")[:, 0]
    large = interpolate(maps[:, None], side, mode="bilinear", align_corners=False)[:, 0]
    light = DARKEST + (1 - DARKEST) * grey.detach().cpu().numpy()[..., None]
    mixed = light * coloured(large.clamp(0, 1))
    return ((mixed / STEP).round() * STEP).clip(0, 255).astype(np.uint8)


def scale_bar(axes: Axes, left: float, top: float, width: float, low: str, high: str) -> None:
    """The colours of a map and what their ends mean, in the units of the axes."""
    steps = np.linspace(0, 1, 64)[None]
    bar = ScalarMappable(cmap=COLOURS).to_rgba(steps, bytes=True)
    extent = (left, left + width, top + 0.1, top)
    axes.imshow(bar, extent=extent, interpolation="nearest", aspect="auto")
    middle = top + 0.05
    axes.text(left - 0.06, middle, low, ha="right", va="center", color=INK)
    axes.text(left + width + 0.06, middle, high, ha="left", va="center", color=INK)
