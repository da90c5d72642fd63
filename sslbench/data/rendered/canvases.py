"""Canvases: three to five figures before a strewn habitat, each with its box; 12 families to find.

The figures are those of the objects, so an encoder that knows objects has something to bring. The
habitat is any of the four, whatever stands in it: the backdrop does not give the families away.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sslbench.data.draws import Draws, Floats, Integers
from sslbench.data.rendered.figures import FAMILIES, KINGDOMS, SPECIES, figures
from sslbench.data.rendered.grid import developed
from sslbench.data.rendered.habitats import habitats

CLASSES = (tuple(FAMILIES),)
Masks = NDArray[np.bool_]
_PLACES = 3  # a side: figures stand in different cells of a 3 x 3 grid, so they overlap little
_MOST = 5


@dataclass(frozen=True)
class Canvases:
    picture: Floats  # N x size x size x 3
    xyxy: NDArray[np.float32]  # K x 4: the tight boxes of all figures, image after image
    classes: Integers  # K
    image: Integers  # K, the row of `picture` that a box belongs to
    masks: Masks  # K x size x size, which pixels a figure would cover if it were alone


def render(seed: int, split: str, positions: Integers, size: int) -> Canvases:
    draws = Draws(seed, f"canvases/{split}", positions)
    picture = habitats(draws.integers("habitat", len(KINGDOMS)), draws, size)
    count = 3 + draws.integers("count", _MOST - 2)
    cells = np.argsort(draws.bits("cells", _PLACES**2), axis=1)  # N x 9, a random order
    found: list[tuple[Integers, Masks, Integers]] = []
    for k in range(_MOST):
        rows = np.flatnonzero(k < count)
        if len(rows) == 0:
            continue
        one = Draws(seed, f"canvases/{split}/{k}", positions[rows])
        species = one.integers("species", len(SPECIES))
        mask = _set(picture, rows, one, species, cells[rows, k], size)
        found.append((rows, mask, species // 3))
    image = np.concatenate([rows for rows, _, _ in found])
    order = np.argsort(image, kind="stable")
    masks = np.concatenate([mask for _, mask, _ in found])[order]
    classes = np.concatenate([family for _, _, family in found])[order]
    return Canvases(developed(picture, draws), _tight(masks), classes, image[order], masks)


def _set(
    picture: Floats, rows: Integers, draws: Draws, species: Integers, cell: Integers, size: int
) -> Masks:
    """Paints one figure into each of the rows; returns their masks, rows x size x size.

    Only a window around the figure is computed: its corner is a whole pixel, its side fits all.
    """
    radius = draws.between("radius", 0.2, 0.38)
    room = 1 - 1.15 * radius[:, None]
    corner = np.stack([cell % _PLACES, cell // _PLACES], axis=1)
    aim = (corner + draws.between("centre", 0.15, 0.85, 2)) * np.float32(2 / _PLACES) - 1
    centre = np.clip(aim, -room, room)  # rows x 2: x, y
    side = min(size, int(np.ceil(0.38 * 1.3 * size)) + 2)
    start = np.clip(((centre + 1) / 2 * size - side / 2).astype(np.int64), 0, size - side)

    offsets = np.arange(side)
    across, down = start[:, :1] + offsets, start[:, 1:] + offsets  # rows x side, in pixels
    x = ((across + 0.5) / size * 2 - 1 - centre[:, :1]).astype(np.float32)[:, None, :]
    y = ((down + 0.5) / size * 2 - 1 - centre[:, 1:]).astype(np.float32)[:, :, None]
    x, y = np.broadcast_arrays(x, y)
    figure = figures(species, draws, x, y, radius, 2 / size)
    window = (rows[:, None, None], down[:, :, None], across[:, None, :])
    patch = picture[window] * (1 - figure.shadow[..., None])
    picture[window] = patch + figure.alpha[..., None] * (figure.colour - patch)
    masks: Masks = np.zeros((len(rows), size, size), dtype=np.bool_)
    masks[np.arange(len(rows))[:, None, None], *window[1:]] = figure.alpha > 0.5
    return masks


def _tight(masks: Masks) -> NDArray[np.float32]:
    """K x 4: the smallest boxes around the masks."""
    columns, lines = np.logical_or.reduce(masks, axis=1), np.logical_or.reduce(masks, axis=2)
    size = masks.shape[1]
    left, top = columns.argmax(axis=1), lines.argmax(axis=1)
    right, bottom = size - columns[:, ::-1].argmax(axis=1), size - lines[:, ::-1].argmax(axis=1)
    return np.stack([left, top, right, bottom], axis=1).astype(np.float32)
