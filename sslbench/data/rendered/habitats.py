"""What lies behind the figures: one habitat per kingdom, the same for all its members."""

import numpy as np

from sslbench.data.draws import Draws, Floats, Integers
from sslbench.data.rendered.grid import (
    blend,
    clipped,
    clouds,
    column,
    coverage,
    length,
    painted,
    plane,
    ramp,
    rgb,
    smooth_noise,
)


def habitats(kingdom: Integers, draws: Draws, size: int) -> Floats:
    """N x size x size x 3: the habitat of each row's kingdom, with pebbles strewn in."""
    picture = np.empty((len(draws), size, size, 3), dtype=np.float32)
    for number, habitat in enumerate((_sea, _meadow, _desert, _sky)):
        rows = np.flatnonzero(kingdom == number)
        if len(rows):
            picture[rows] = habitat(draws[rows], size)
    return _strewn(picture, draws)


def _gradient(draws: Draws, hue: tuple[float, float], saturation: float, size: int) -> Floats:
    """A vertical run from a lighter to a darker shade of a hue in the range."""
    _, y = plane(size)
    base = draws.between("back/hue", *hue)
    strength = draws.between("back/s", saturation - 0.18, saturation + 0.12)
    top = rgb(base, strength * 0.8, draws.between("back/top", 0.65, 0.95))
    end = rgb(
        base + draws.between("back/turn", -0.05, 0.05),
        strength,
        draws.between("back/end", 0.35, 0.65),
    )
    return painted(top) + ramp(y, -1.2, 1.2)[..., None] * (painted(end) - painted(top))


def _sea(draws: Draws, size: int) -> Floats:
    picture = _gradient(draws, (0.47, 0.63), 0.6, size)
    ripples = smooth_noise(draws, "ripples", size, 12, 3) + 0.6 * clouds(draws, "swell", size)
    return clipped(picture * (0.65 + 0.45 * ripples[..., None]))


def _meadow(draws: Draws, size: int) -> Floats:
    picture = _gradient(draws, (0.19, 0.38), 0.55, size)
    blades = smooth_noise(draws, "blades", size, 3, 16) + 0.5 * clouds(draws, "patches", size)
    return clipped(picture * (0.6 + 0.55 * blades[..., None]))


def _desert(draws: Draws, size: int) -> Floats:
    picture = _gradient(draws, (0.04, 0.14), 0.45, size)
    x, y = plane(size)
    bend = smooth_noise(draws, "bend", size, 2, 3)
    lean = column(draws.between("lean", -0.6, 0.6))
    rows = column(draws.between("dunes", 1.5, 3.0))
    dunes = (y + lean * x + bend) * rows + column(draws.uniform("dunes/phase"))
    ridge = dunes - np.floor(dunes)  # light rises slowly and falls at the crest
    return clipped(picture * (0.75 + 0.3 * (ridge * ramp(1 - ridge, 0, 0.2))[..., None]))


def _sky(draws: Draws, size: int) -> Floats:
    picture = _gradient(draws, (0.52, 0.82), 0.45, size)
    night = draws.uniform("night")[:, None, None, None] < 0.4
    picture = np.where(night, picture * 0.45, picture)
    white = rgb(
        draws.between("cloud/hue", -0.1, 0.6),
        draws.between("cloud/s", 0, 0.15),
        draws.between("cloud/v", 0.85, 1.0),
    )
    cover = column(draws.between("cover", 0.45, 0.65))
    veil = ramp(clouds(draws, "clouds", size) - cover, -0.05, 0.2) * np.where(
        night[..., 0], 0.35, 0.85
    )
    return blend(picture, painted(white), veil.astype(np.float32))


def _strewn(picture: Floats, draws: Draws, pieces: int = 4) -> Floats:
    """A few pebbles of any colour: edges that tell nothing about the class."""
    size = picture.shape[1]
    x, y = plane(size)
    for k in range(pieces):
        place = draws.between(f"pebble/{k}/place", -1, 1, 2)
        half = draws.between(f"pebble/{k}/half", 0.04, 0.16, 2)
        there = draws.uniform(f"pebble/{k}/there") < 0.7
        across = (x - column(place[:, 0])) / column(half[:, 0])
        along = (y - column(place[:, 1])) / column(half[:, 1])
        distance = (length(across, along) - 1) * column(half.min(axis=1))
        alpha = coverage(distance, 2 / size) * column(there.astype(np.float32)) * 0.8
        colour = rgb(
            draws.uniform(f"pebble/{k}/hue"),
            draws.between(f"pebble/{k}/s", 0, 0.6),
            draws.between(f"pebble/{k}/v", 0.25, 0.95),
        )
        picture = blend(picture, painted(colour), alpha)
    return picture
