"""A sheet of small images, words and frames, placed in inches from its upper left corner."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from sslbench.report.plots import GREY, INK, short

LETTER = 0.066  # inches of a letter of 8 points, on average
LINE = 0.16  # inches from one line of text to the next
LARGEST = 64  # pixels of a side
STEP = 12  # of 255, between the shades of a channel
DPI = 200  # of what matplotlib makes of several images in an SVG

Pixels = NDArray[np.floating[Any] | np.uint8]


class Sheet:
    """One axes over the whole figure: quicker and more exact than hundreds of small ones."""

    def __init__(self, width: float, height: float) -> None:
        self.figure = Figure(figsize=(width, height), dpi=DPI)
        FigureCanvasAgg(self.figure)
        self.axes: Axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_xlim(0, width)
        self.axes.set_ylim(height, 0)
        self.axes.set_axis_off()

    def image(
        self, pixels: Pixels, left: float, top: float, width: float, height: float | None = None
    ) -> None:
        """H x W x 3, enlarged to whole blocks: what has few pixels is shown as it is."""
        extent = (left, left + width, top + (height or width), top)
        self.axes.imshow(pixels, extent=extent, interpolation="nearest", aspect="auto")

    def text(self, words: str, left: float, top: float, **how: Any) -> None:
        """What may hold a dollar has gone through ``short``."""
        self.axes.text(left, top, words, **{"va": "center", **how})

    def frame(self, left: float, top: float, side: float, **how: Any) -> None:
        self.axes.add_patch(Rectangle((left, top), side, side, fill=False, **how))

    def line(self, x: Sequence[float], y: Sequence[float]) -> None:
        self.axes.plot(x, y, color=GREY, linewidth=0.8, solid_capstyle="butt", zorder=0)


def margin(titles: Sequence[str]) -> float:
    """Inches for the names of rows at the left."""
    return 0.2 + LETTER * max(len(short(title, 26)) for title in titles)


def label(sheet: Sheet, title: str, right: float, middle: float) -> None:
    """The name of a row, right-aligned to where its images begin."""
    sheet.text(short(title, 26), right, middle, ha="right", color=INK)


def pixels(image: Tensor) -> NDArray[np.uint8]:
    """A square image, 3 x S x S in [0, 1] -> S x S x 3, in few shades: thus files are small."""
    image = image.detach().cpu()
    if max(image.shape[1:]) > LARGEST:  # more than its place on the sheet can show
        image = interpolate(image[None], LARGEST, mode="bilinear", antialias=True)[0]
    shown = image.clamp(0, 1).mul(255 / STEP).round().mul(STEP).clamp(max=255).byte()
    return np.ascontiguousarray(shown.permute(1, 2, 0).numpy())


def mosaic(tiles: NDArray[Any], across: int, gap: int, scale: int = 1) -> Pixels:
    """P x h x w x 3 in rows of ``across``, each pixel ``scale`` wide, with white in between."""
    count, height, width, _ = tiles.shape
    height, width = height * scale, width * scale
    down = -(-count // across)
    white = 255 if tiles.dtype == np.uint8 else 1
    shape = (down * (height + gap) - gap, across * (width + gap) - gap, 3)
    sheet = np.full(shape, white, dtype=tiles.dtype)
    for number, tile in enumerate(tiles):
        top, left = (height + gap) * (number // across), (width + gap) * (number % across)
        large = tile.repeat(scale, axis=0).repeat(scale, axis=1)
        sheet[top : top + height, left : left + width] = large
    return sheet
