"""Scenes: twelve layouts of nature, town and house; the second domain, in the role of Places.

The camera stands nearer or further and in another light each time, so that neither the place of a
thing in the picture nor its colour gives the class away.
"""

import numpy as np

from sslbench.data.draws import Draws, Floats, Integers, balanced_classes
from sslbench.data.rendered.grid import clipped, developed
from sslbench.data.rendered.landscapes import coast, dunes, field, forest, lake, mountains
from sslbench.data.rendered.townscapes import bridge, room, shelves, skyline, street, village

_SCENES = (
    coast, dunes, mountains, forest, field, lake,
    skyline, street, village, bridge, room, shelves,
)  # fmt: skip
CLASSES = (tuple(scene.__name__ for scene in _SCENES),)


def labels(seed: int, split: str, count: int) -> Integers:
    """count x 1."""
    return balanced_classes(seed, f"scenes/{split}", count, len(_SCENES))[:, None]


def render(seed: int, split: str, positions: Integers, classes: Integers, size: int) -> Floats:
    """N x size x size x 3 in [0, 1]."""
    draws = Draws(seed, f"scenes/{split}", positions)
    wide = size * 3 // 2  # of which a window is taken
    picture = np.empty((len(draws), wide, wide, 3), dtype=np.float32)
    for number, scene in enumerate(_SCENES):
        rows = np.flatnonzero(classes == number)
        if len(rows):
            picture[rows] = scene(draws[rows], wide)
    mirror = draws.uniform("mirror") < 0.5
    picture[mirror] = picture[mirror, :, ::-1]
    cast = draws.between("cast", 0.7, 1.25, 1, 1, 3)
    return developed(clipped(_framed(picture, draws, size) * cast), draws, noise=0.04)


def _framed(picture: Floats, draws: Draws, size: int) -> Floats:
    """A window of 60 to 100 % of the side at a random place: N x size x size x 3."""
    share = draws.between("window", 0.6, 1.0)
    start = draws.uniform("window/place", 2) * (1 - share[:, None])
    down, across = (_sampling(start[:, k], share, picture.shape[1], size) for k in (0, 1))
    return np.stack(
        [down @ picture[..., channel] @ across.transpose(0, 2, 1) for channel in range(3)], axis=-1
    )


def _sampling(start: Floats, share: Floats, pixels: int, size: int) -> Floats:
    """N x size x pixels: an output pixel is the mean of the input under a triangle around it."""
    step = share * (pixels / size)  # input pixels per output pixel
    centre = start[:, None] * pixels + (np.arange(size) + 0.5) * step[:, None]  # N x size
    away = np.abs(np.arange(pixels) + 0.5 - centre[..., None]) / np.maximum(step, 1)[:, None, None]
    weights: Floats = np.maximum(1 - away, 0).astype(np.float32)
    total: Floats = weights.sum(axis=-1, keepdims=True)
    return weights / total
