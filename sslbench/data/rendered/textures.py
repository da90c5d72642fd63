"""Textures: sixteen surface patterns over the whole picture, at any angle, in any two colours."""

import numpy as np

from sslbench.data.draws import Draws, Floats, Integers, balanced_classes
from sslbench.data.rendered.grid import clipped, clouds, column, developed, painted, plane, rgb
from sslbench.data.rendered.patterns import PATTERNS

CLASSES = (tuple(PATTERNS),)


def labels(seed: int, split: str, count: int) -> Integers:
    """count x 1."""
    return balanced_classes(seed, f"textures/{split}", count, len(PATTERNS))[:, None]


def render(seed: int, split: str, positions: Integers, classes: Integers, size: int) -> Floats:
    """N x size x size x 3 in [0, 1]."""
    draws = Draws(seed, f"textures/{split}", positions)
    x, y = plane(size)
    angle = draws.between("angle", 0, 2 * np.pi)
    pitch = draws.between("pitch", 1.1, 2.4)
    shift = draws.between("shift", -0.5, 0.5, 2)
    c, s = column(np.cos(angle) * pitch), column(np.sin(angle) * pitch)
    u, v = c * x + s * y + column(shift[:, 0]), c * y - s * x + column(shift[:, 1])
    mix = np.empty_like(u)
    for number, pattern in enumerate(PATTERNS.values()):
        rows = np.flatnonzero(classes == number)
        if len(rows):
            mix[rows] = pattern(u[rows], v[rows], draws[rows])

    # The two colours differ in brightness, either way round, so that the pattern survives in grey.
    hue = draws.uniform("hue")
    dark = rgb(hue, draws.between("dark/s", 0.2, 0.8), draws.between("dark/v", 0.15, 0.45))
    light = rgb(
        hue + draws.between("turn", -0.2, 0.2),
        draws.between("light/s", 0.05, 0.6),
        draws.between("light/v", 0.65, 1.0),
    )
    swap = draws.uniform("swap")[:, None] < 0.5
    ground, figure = np.where(swap, dark, light), np.where(swap, light, dark)
    picture = painted(ground) + mix[..., None] * (painted(figure) - painted(ground))
    wear = 0.8 + 0.35 * clouds(draws, "wear", size)
    return developed(clipped(picture * wear[..., None]), draws, noise=0.03)
