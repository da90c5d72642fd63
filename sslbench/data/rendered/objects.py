"""Objects: one figure per picture; 36 species in 12 families in 4 kingdoms.

What varies within a class: place, size, tilt, proportions, colours of the palette, light, the
surface's pitch and phase, the habitat, noise.
"""

import numpy as np

from sslbench.data.draws import Draws, Floats, Integers, balanced_classes
from sslbench.data.rendered.figures import FAMILIES, KINGDOMS, SPECIES, figures, hierarchy
from sslbench.data.rendered.grid import blend, column, developed, plane
from sslbench.data.rendered.habitats import habitats

CLASSES = (tuple(SPECIES), tuple(FAMILIES), tuple(KINGDOMS))  # finest first


def labels(seed: int, split: str, count: int) -> Integers:
    """count x 3: species, family, kingdom."""
    return hierarchy(balanced_classes(seed, f"objects/{split}", count, len(SPECIES)))


def render(seed: int, split: str, positions: Integers, species: Integers, size: int) -> Floats:
    """N x size x size x 3 in [0, 1]."""
    draws = Draws(seed, f"objects/{split}", positions)
    x, y = plane(size)
    radius = draws.between("radius", 0.52, 0.8)
    centre = draws.between("centre", -1, 1, 2) * (1 - radius[:, None]) * np.float32(0.9)
    x, y = x - column(centre[:, 0]), y - column(centre[:, 1])
    figure = figures(species, draws, x, y, radius, 2 / size)
    picture = habitats(species // 9, draws, size)
    picture = picture * (1 - figure.shadow[..., None])
    return developed(blend(picture, figure.colour, figure.alpha), draws)
