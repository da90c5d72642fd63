"""Six scenes of nature. Each takes draws and a size and gives N x size x size x 3.

A scene is told by where things lie, not by single things: the height of the horizon, what repeats,
what leads to where. Daylight and hues vary the same way in all of them.
"""

import numpy as np

from sslbench.data.draws import Draws, Floats
from sslbench.data.rendered.grid import (
    blend,
    clipped,
    clouds,
    column,
    coverage,
    painted,
    plane,
    ramp,
    rgb,
    smooth_noise,
)


def tone(
    draws: Draws,
    name: str,
    hue: tuple[float, float],
    s: tuple[float, float],
    v: tuple[float, float],
) -> Floats:
    """A plain colour for each picture, N x 1 x 1 x 3."""
    colours = rgb(
        draws.between(f"{name}/h", *hue),
        draws.between(f"{name}/s", *s),
        draws.between(f"{name}/v", *v),
    )
    return painted(colours)


def sky(draws: Draws, size: int) -> Floats:
    """Day, dusk or night, from the zenith down, with clouds."""
    _, y = plane(size)
    hour = draws.uniform("hour")[:, None, None, None]
    day = tone(draws, "day", (0.52, 0.64), (0.25, 0.6), (0.75, 1.0))
    dusk = tone(draws, "dusk", (-0.05, 0.1), (0.3, 0.6), (0.75, 0.95))
    night = tone(draws, "night", (0.6, 0.75), (0.4, 0.7), (0.15, 0.35))
    top = np.where(hour < 0.6, day, np.where(hour < 0.8, 0.6 * day, night))
    low = np.where(hour < 0.6, 0.5 + 0.5 * day, np.where(hour < 0.8, dusk, 1.6 * night))
    picture = top + ramp(y, -1.1, 0.5)[..., None] * (low - top)
    veil = ramp(clouds(draws, "sky", size) - column(draws.between("cover", 0.4, 0.75)), 0, 0.2)
    return clipped(blend(picture, np.minimum(1, low * 1.15 + 0.05), 0.7 * veil))


def line(draws: Draws, name: str, size: int, cells: int) -> Floats:
    """A smooth random height for every column of pixels, N x 1 x size, in [-1, 1]."""
    return 2 * smooth_noise(draws, name, size, 1, cells)[:, :1] - 1


def edge(distance: Floats, size: int) -> Floats:
    """Coverage of where ``distance`` is negative, in the plane's units."""
    return coverage(distance, 2 / size)


def coast(draws: Draws, size: int) -> Floats:
    x, y = plane(size)
    horizon = column(draws.between("horizon", -0.45, 0.0))
    water = tone(draws, "water", (0.45, 0.62), (0.35, 0.75), (0.4, 0.75))
    depth = np.maximum(y - horizon, 0.02)
    waves = np.sin(6 / depth + 3 * clouds(draws, "waves", size)) * ramp(depth, 0.05, 0.5)
    picture = blend(sky(draws, size), water + 0.1 * waves[..., None], edge(horizon - y, size))
    slope = column(draws.between("slope", -0.9, 0.9))
    shore = y - (0.55 + slope * x + 0.12 * line(draws, "shore", size, 4))
    sand = tone(draws, "sand", (0.07, 0.15), (0.2, 0.45), (0.7, 0.95))
    foam = 0.8 * edge(np.abs(shore + 0.05) - 0.05, size)
    picture = blend(picture, np.ones(3, dtype=np.float32) * 0.93, foam * edge(horizon - y, size))
    return blend(picture, sand, edge(-shore, size) * edge(horizon - y, size))


def dunes(draws: Draws, size: int) -> Floats:
    _, y = plane(size)
    picture = sky(draws, size)
    sand = tone(draws, "sand", (0.03, 0.17), (0.3, 0.6), (0.6, 0.95))
    for k in range(4):
        crest = -0.3 + 0.38 * k + 0.28 * line(draws, f"crest/{k}", size, 2)
        below = y - crest
        lit = 0.75 + 0.1 * k + 0.35 * np.exp(-6 * np.maximum(below, 0)) * (-1) ** k
        picture = blend(picture, clipped(sand * lit[..., None]), edge(-below, size))
    return picture


def mountains(draws: Draws, size: int) -> Floats:
    _, y = plane(size)
    picture = sky(draws, size)
    rock = tone(draws, "rock", (0.55, 0.75), (0.05, 0.35), (0.3, 0.6))
    for k in range(2):
        peaks = np.abs(line(draws, f"peaks/{k}", size, 4)) + 0.3 * np.abs(
            line(draws, f"crags/{k}", size, 9)
        )
        below = y - (0.15 + 0.3 * k - (1.1 - 0.35 * k) * peaks)
        crags = 0.75 + 0.5 * clouds(draws, f"rock/{k}", size, 6)
        picture = blend(picture, rock * (crags * (0.9 - 0.25 * k))[..., None], edge(-below, size))
        snow = edge(below - 0.22, size) * edge(-below, size) * edge(y + 0.12, size)
        picture = blend(picture, np.full(3, 0.95, dtype=np.float32), snow)
    wood = tone(draws, "wood", (0.2, 0.4), (0.3, 0.6), (0.2, 0.45))
    return blend(picture, wood, edge(0.68 + 0.1 * line(draws, "wood", size, 8) - y, size))


def forest(draws: Draws, size: int) -> Floats:
    x, y = plane(size)
    leaves = tone(draws, "leaves", (0.12, 0.4), (0.35, 0.75), (0.35, 0.75))
    picture = leaves * (0.35 + 0.9 * clouds(draws, "leaves", size, 6))[..., None]
    ground = column(draws.between("ground", 0.45, 0.8))
    floor = tone(draws, "floor", (0.05, 0.3), (0.3, 0.6), (0.25, 0.5))
    floor = floor * (0.7 + 0.6 * clouds(draws, "floor", size, 5))[..., None]
    picture = blend(picture, floor, edge(ground - y, size))
    bark = tone(draws, "bark", (0.03, 0.12), (0.1, 0.5), (0.15, 0.75))
    for k in range(7):
        place = column(draws.between(f"trunk/{k}", -0.14, 0.14)) + (k - 3) * 0.3
        near = column(draws.uniform(f"near/{k}"))
        lean = column(draws.between(f"lean/{k}", -0.08, 0.08))
        half = 0.035 + 0.07 * near
        away = x - place - lean * y
        trunk = edge(np.abs(away) - half, size) * edge(y - ground - 0.3 * near, size)
        shade = (0.55 + 0.5 * near) * (0.9 + 0.3 * away / half)
        picture = blend(picture, bark * shade[..., None], trunk)
    return clipped(picture)


def field(draws: Draws, size: int) -> Floats:
    x, y = plane(size)
    horizon = column(draws.between("horizon", -0.5, -0.1))
    depth = np.maximum(y - horizon, 0.03)
    vanishing = column(draws.between("vanishing", -0.6, 0.6))
    across = (x - vanishing) / depth
    pitch = column(draws.between("pitch", 1.6, 2.8))
    rows = np.sin(np.pi * pitch * across) * ramp(depth, 0.03, 0.35)
    crop = tone(draws, "crop", (0.1, 0.36), (0.4, 0.75), (0.5, 0.85))
    soil = tone(draws, "soil", (0.03, 0.12), (0.3, 0.6), (0.25, 0.5))
    ground = blend(crop, soil, 0.5 + 0.5 * rows)
    picture = blend(sky(draws, size), ground, edge(horizon - y, size))
    hedge = horizon - 0.09 - 0.07 * line(draws, "hedge", size, 7)
    bushes = edge(hedge - y, size) * edge(y - horizon, size)
    return blend(picture, 0.5 * crop, bushes)


def lake(draws: Draws, size: int) -> Floats:
    _, y = plane(size)
    shore = column(draws.between("shore", -0.15, 0.2))
    mirrored = np.abs(y - shore)  # height over the water, or depth in the mirror
    hills = 0.38 + 0.22 * line(draws, "hills", size, 4) + 0.08 * line(draws, "trees", size, 12)
    air = sky(draws, size)
    land = tone(draws, "land", (0.15, 0.45), (0.25, 0.6), (0.25, 0.6))
    land = land * (0.7 + 0.6 * clouds(draws, "land", size, 5))[..., None]
    dim = np.where(y > shore, 0.72, 1.0)[..., None]
    ripple = 0.05 * np.sin(40 * y + 6 * clouds(draws, "ripple", size)) * (y > shore)
    picture = blend(air, land, edge(mirrored - hills, size)) * dim + ripple[..., None]
    bank = edge(np.abs(y - shore) - 0.035, size)
    return clipped(blend(picture, 0.45 * land, bank))
