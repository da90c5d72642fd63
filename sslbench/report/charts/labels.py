"""Names beside points that neither overlap one another nor cover a point."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from sslbench.report.plots import GREY, INK

Boxes = NDArray[np.float64]  # left, low, right, high in pixels

# Where a name may stand, in points from its point: near first, then further out with a line.
PLACES = [
    (distance * x, distance * y)
    for distance in (5, 11, 18, 27)
    for x, y in (
        (1, 0),
        (-1, 0),
        (0, 1),
        (0, -1),
        (0.8, 0.8),
        (-0.8, 0.8),
        (0.8, -0.8),
        (-0.8, -0.8),
    )
]
LEAD = 12  # parts of such a line
NEAR = 8  # points; further away a line leads to the point


@dataclass(frozen=True)
class Point:
    """A point of a plot and the name that belongs to it."""

    x: float
    y: float
    name: str
    bold: bool = False


def place_names(axes: Axes, points: Sequence[Point], taken: Sequence[Bbox] = ()) -> list[str]:
    """Writes names, those of the first points first; returns those that found no room.

    ``taken``: what else must stay free, in pixels. The limits of the axes must be settled.
    """
    figure = axes.get_figure()
    assert figure is not None
    scale = figure.dpi / 72
    inside = axes.get_window_extent()
    dots = axes.transData.transform([(point.x, point.y) for point in points])
    around = np.hstack([dots - 3 * scale, dots + 3 * scale])
    blocked = np.vstack([around, *(box.extents for box in taken)])
    names = np.empty((0, 4))
    left_out = []
    for number, (point, (x, y)) in enumerate(zip(points, dots, strict=True)):
        others = np.delete(around, number, axis=0)
        text = axes.annotate(
            point.name,
            (point.x, point.y),
            xytext=(0, 0),
            textcoords="offset points",
            fontweight="bold" if point.bold else "normal",
            color=INK,
            zorder=6,
        )
        size = text.get_window_extent()
        for dx, dy in PLACES:
            box = _box(x + dx * scale, y + dy * scale, dx, dy, size.width, size.height)
            if not _within(box, inside) or _any_overlap(box[None], blocked):
                continue
            far = max(abs(dx), abs(dy)) > NEAR
            lead = _lead(x, y, dx * scale, dy * scale) if far else np.empty((0, 4))
            if _any_overlap(lead, names) or _any_overlap(lead, others):
                continue
            text.set(
                position=(dx, dy),
                ha="left" if dx > 0 else "right" if dx < 0 else "center",
                va="bottom" if dy > 0 else "top" if dy < 0 else "center",
            )
            if far:
                axes.annotate(
                    "",
                    (point.x, point.y),
                    xytext=(dx, dy),
                    textcoords="offset points",
                    arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.6},
                    zorder=3,
                )
            names = np.vstack([names, box])
            blocked = np.vstack([blocked, box, lead])
            break
        else:
            text.remove()
            left_out.append(point.name)
    return left_out


def _box(x: float, y: float, dx: float, dy: float, width: float, height: float) -> Boxes:
    """Left, low, right, high of a name that is written at (x, y)."""
    left = x if dx > 0 else x - width if dx < 0 else x - width / 2
    low = y if dy > 0 else y - height if dy < 0 else y - height / 2
    return np.array([left, low, left + width, low + height])


def _lead(x: float, y: float, dx: float, dy: float) -> Boxes:
    """The line that leads to a name, as small boxes; it begins beside its own point."""
    along = np.linspace(0.2, 1.0, LEAD)[:, None]
    middle = np.array([x, y]) + along * np.array([dx, dy])
    return np.hstack([middle - 1, middle + 1])


def _any_overlap(some: Boxes, others: Boxes) -> bool:
    """Of boxes, N x 4 and M x 4."""
    one, two = some[:, None], others[None]
    apart = (one[..., :2] >= two[..., 2:]) | (two[..., :2] >= one[..., 2:])
    return bool((~apart.any(-1)).any())


def _within(box: Boxes, outer: Bbox) -> bool:
    left, low, right, high = box
    return bool(outer.x0 <= left and right <= outer.x1 and outer.y0 <= low and high <= outer.y1)
