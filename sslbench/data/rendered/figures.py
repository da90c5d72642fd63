"""One figure: an outline (its family) with a surface (its species), lit from one side.

Kingdoms, families and species follow each other as in nature: a kingdom has its palette and its
habitat, a family its outline, a species its surface. Colour jitter takes the palette away, outline
and surface stay, so a class is still told without colour.
"""

from dataclasses import dataclass

import numpy as np

from sslbench.data.draws import Draws, Floats, Integers
from sslbench.data.rendered.grid import clipped, coverage, painted, ramp, rgb
from sslbench.data.rendered.patterns import PATTERNS
from sslbench.data.rendered.shapes import SHAPES


@dataclass(frozen=True)
class Kingdom:
    families: tuple[str, str, str]  # outlines
    species: tuple[str, str, str]  # surfaces
    hue: tuple[float, float]  # of its members, in turns


KINGDOMS = {
    "sea": Kingdom(("fish", "starfish", "shell"), ("stripes", "spots", "scales"), (-0.07, 0.16)),
    "meadow": Kingdom(("butterfly", "flower", "mushroom"), ("rays", "rings", "spots"), (0.7, 1.05)),
    "desert": Kingdom(("cactus", "crystal", "urn"), ("zigzag", "net", "blotches"), (0.25, 0.58)),
    "sky": Kingdom(("moon", "balloon", "kite"), ("stripes", "checks", "rings"), (0.0, 0.8)),
}
_MEMBERS = list(KINGDOMS.values())
FAMILIES = [family for kingdom in _MEMBERS for family in kingdom.families]
SPECIES = [
    f"{family} with {surface}"
    for kingdom in _MEMBERS
    for family in kingdom.families
    for surface in kingdom.species
]


def hierarchy(species: Integers) -> Integers:
    """N x 3: species, family, kingdom."""
    return np.stack([species, species // 3, species // 9], axis=1)


@dataclass(frozen=True)
class Figures:
    colour: Floats  # N x H x W x 3
    alpha: Floats  # N x H x W
    shadow: Floats  # N x H x W, the light that a figure takes from what is behind it


def figures(
    species: Integers, draws: Draws, x: Floats, y: Floats, radius: Floats, pixel: float
) -> Figures:
    """A figure per row, centred where ``x`` and ``y`` (N x H x W or 1 x H x W) are 0.

    ``radius`` (N) and ``pixel`` (the side of a pixel) are in the units of x and y.
    """
    angle = draws.between("angle", -0.45, 0.45)
    mirror = np.where(draws.uniform("mirror") < 0.5, -1, 1).astype(np.float32)
    across = radius * draws.between("width", 0.9, 1.1)
    c, s = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    u = (c * x + s * y) * (mirror / across)[:, None, None]
    v = (s * x - c * y) / radius[:, None, None]  # upwards
    scaled_pixel = (pixel / radius)[:, None, None]

    distance = _outlines(species // 3, draws, u, v)
    alpha = coverage(distance, scaled_pixel)
    light = _light(distance, scaled_pixel, draws)
    colour: Floats = _surfaces(species, draws, u, v) * light[..., None]
    rim = coverage(np.abs(distance + 0.05) - 0.05, scaled_pixel) * 0.35
    colour = clipped(colour * (1 - rim[..., None]) + 0.25 * ramp(light, 1.0, 1.4)[..., None])
    fall = -0.16 * _sun(draws) * mirror[:, None, None]
    behind = _outlines(species // 3, draws, u + fall, v + 0.2)
    return Figures(colour, alpha, 0.45 * (1 - ramp(behind, -0.15, 0.2)))


def _outlines(family: Integers, draws: Draws, u: Floats, v: Floats) -> Floats:
    wobble = draws.uniform("wobble")[:, None, None]
    distance = np.empty_like(u)
    for number in np.unique(family):
        rows = np.flatnonzero(family == number)
        distance[rows] = SHAPES[FAMILIES[number]](u[rows], v[rows], wobble[rows])
    return distance


def _light(distance: Floats, pixel: Floats, draws: Draws) -> Floats:
    """Brightness of a rounded body, bright on the side of the sun, 0.6 to 1.4."""
    height = np.sqrt(np.clip(-distance, 0, 0.35) / 0.35)  # round at the edge, flat in the middle
    down, right = np.gradient(height, axis=(1, 2))
    relief = draws.between("relief", 0.05, 0.12)[:, None, None] / pixel  # slopes are per pixel
    return clipped(1 + (down + 0.7 * _sun(draws) * right) * relief, 0.6, 1.4)


def _sun(draws: Draws) -> Floats:
    """-1 or 1: the side that light comes from, N x 1 x 1."""
    return np.where(draws.uniform("sun") < 0.5, 1, -1).astype(np.float32)[:, None, None]


def _surfaces(species: Integers, draws: Draws, u: Floats, v: Floats) -> Floats:
    """N x H x W x 3: two colours of the kingdom's palette, mixed by the species' pattern."""
    hue_range = np.array([_MEMBERS[k].hue for k in species // 9], dtype=np.float32)
    spread = (hue_range[:, 1] - hue_range[:, 0]) * draws.uniform("hue")
    hue = hue_range[:, 0] + spread
    # One colour is light, the other dark, so that the pattern survives without colour.
    dark = rgb(hue, draws.between("dark/s", 0.6, 0.95), draws.between("dark/v", 0.3, 0.55))
    tint = hue + draws.between("tint", -0.12, 0.12)
    light = rgb(tint, draws.between("light/s", 0.15, 0.6), draws.between("light/v", 0.85, 1.0))
    swap = draws.uniform("swap")[:, None] < 0.5
    ground, figure = np.where(swap, dark, light), np.where(swap, light, dark)

    pitch = draws.between("pitch", 1.25, 1.7)[:, None, None]
    shift = draws.between("shift", -0.25, 0.25, 2)[..., None, None]
    mix = np.empty_like(u)
    for number in np.unique(species):
        rows = np.flatnonzero(species == number)
        name = _MEMBERS[number // 9].species[number % 3]
        moved = shift[rows] * (0 if name in ("rays", "rings") else 1)  # these have a centre
        local_u = u[rows] * pitch[rows] + moved[:, 0]
        local_v = v[rows] * pitch[rows] + moved[:, 1]
        mix[rows] = PATTERNS[name](local_u, local_v, draws[rows])
    return painted(ground) + mix[..., None] * (painted(figure) - painted(ground))
