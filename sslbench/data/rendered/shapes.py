"""Twelve outlines as signed distances: negative inside, about one unit per unit of length.

Each takes local coordinates (u to the right, v upwards, the figure within about the unit circle)
and a wobble per figure in [0, 1] that varies its proportions. All arrays are N x H x W.
"""

from collections.abc import Callable

import numpy as np

from sslbench.data.draws import Floats
from sslbench.data.rendered.grid import clipped, length

Shape = Callable[[Floats, Floats, Floats], Floats]


def _disc(u: Floats, v: Floats, radius: Floats | float) -> Floats:
    return length(u, v) - radius


def _ellipse(u: Floats, v: Floats, a: Floats | float, b: Floats | float) -> Floats:
    return (length(u / a, v / b) - 1) * np.minimum(a, b)


def _box(u: Floats, v: Floats, a: Floats | float, b: Floats | float) -> Floats:
    return _common(np.abs(u) - a, np.abs(v) - b)


def _capsule(
    u: Floats, v: Floats, ends: tuple[float, float, float, float], radius: float
) -> Floats:
    """A thick line from (ends[0], ends[1]) to (ends[2], ends[3])."""
    du, dv = ends[2] - ends[0], ends[3] - ends[1]
    t = clipped(((u - ends[0]) * du + (v - ends[1]) * dv) / (du * du + dv * dv))
    return length(u - ends[0] - t * du, v - ends[1] - t * dv) - radius


def _turned(u: Floats, v: Floats, angle: float) -> tuple[Floats, Floats]:
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return c * u + s * v, c * v - s * u


def _union(*parts: Floats) -> Floats:
    nearest: Floats = np.minimum.reduce(parts)
    return nearest


def _common(*parts: Floats) -> Floats:
    farthest: Floats = np.maximum.reduce(parts)
    return farthest


def fish(u: Floats, v: Floats, wobble: Floats) -> Floats:
    body = _ellipse(u - 0.22, v, 0.76, 0.42 + 0.12 * wobble)
    reach = -u - 0.35  # along the tail, which widens to the left and ends at u = -0.98
    tail = _common(np.abs(v) - reach * 0.85 - 0.03, -u - 0.98, -reach)
    fin = _common(_ellipse(u - 0.15, v - 0.35, 0.36, 0.34), 0.3 - v)
    return _union(body, tail, fin)


def starfish(u: Floats, v: Floats, wobble: Floats) -> Floats:
    angle = np.arctan2(u, v)
    edge: Floats = 0.62 + (0.3 + 0.08 * wobble) * np.cos(5 * angle)
    return (length(u, v) - edge) * 0.7


def shell(u: Floats, v: Floats, wobble: Floats) -> Floats:
    v = v + 0.85  # measured from the hinge
    angle = np.arctan2(u, v)
    fan = length(u, v) - 1.6 - 0.1 * np.abs(np.cos(4.5 * angle))
    wedge = np.abs(u) * 0.75 - v * (0.56 + 0.1 * wobble) - 0.1
    return _union(_common(fan, wedge), _box(u, v - 0.02, 0.32, 0.15))


def butterfly(u: Floats, v: Floats, wobble: Floats) -> Floats:
    right = np.abs(u)
    upper = _ellipse(*_turned(right - 0.5, v - 0.34, 0.7), 0.56, 0.33 + 0.08 * wobble)
    lower = _ellipse(*_turned(right - 0.38, v + 0.45, -0.6), 0.42, 0.28)
    return _union(upper, lower, _ellipse(u, v, 0.13, 0.72))


def flower(u: Floats, v: Floats, wobble: Floats) -> Floats:
    angle = np.arctan2(v, u)
    edge: Floats = 0.58 + 0.1 * wobble + (0.38 - 0.1 * wobble) * np.abs(np.cos(3 * angle))
    return (length(u, v) - edge) * 0.75


def mushroom(u: Floats, v: Floats, wobble: Floats) -> Floats:
    cap = _common(_ellipse(u, v + 0.02, 0.95, 0.85), -v - 0.05)
    stem = _box(u, v + 0.45, 0.2 + 0.12 * wobble + 0.1 * np.abs(v + 0.3), 0.5)
    return _union(cap, stem)


def cactus(u: Floats, v: Floats, wobble: Floats) -> Floats:
    trunk = _capsule(u, v, (0.0, -0.75, 0.0, 0.75), 0.22)
    left = _union(
        _capsule(u, v, (-0.1, -0.15, -0.6, -0.15), 0.15),
        _capsule(u, v - 0.2 * wobble, (-0.6, -0.15, -0.6, 0.35), 0.16),
    )
    right = _union(
        _capsule(u, v, (0.1, 0.1, 0.6, 0.1), 0.14),
        _capsule(u, v - 0.15 * wobble, (0.6, 0.1, 0.6, 0.55), 0.15),
    )
    return _union(trunk, left, right)


def crystal(u: Floats, v: Floats, wobble: Floats) -> Floats:
    sides = np.abs(u) - (0.48 + 0.14 * wobble)
    tips = np.abs(u) * 0.75 + np.abs(v) * 0.66 - 0.63
    return _common(sides, tips)


def urn(u: Floats, v: Floats, wobble: Floats) -> Floats:
    belly = 0.44 + (0.22 + 0.08 * wobble) * np.cos(3.3 * (v + 0.22))
    width = np.where(v > 0.72, 0.46, belly)  # the rim
    return _common((np.abs(u) - width) * 0.85, np.abs(v) - 0.92)


def moon(u: Floats, v: Floats, wobble: Floats) -> Floats:
    return _common(_disc(u, v, 0.95), 0.74 + 0.08 * wobble - length(u - 0.5, v - 0.14))


def balloon(u: Floats, v: Floats, wobble: Floats) -> Floats:
    globe = _disc(u, v - 0.28, 0.7)
    throat = _common((np.abs(u) - 0.3 - (v + 0.35) * 0.75) * 0.8, np.abs(v + 0.2) - 0.32)
    ropes = _common(np.abs(np.abs(u) - 0.17) - 0.05, np.abs(v + 0.55) - 0.2)
    return _union(globe, throat, ropes, _box(u, v + 0.83, 0.24 + 0.08 * wobble, 0.16))


def kite(u: Floats, v: Floats, wobble: Floats) -> Floats:
    w = v - 0.35  # the sail's cross-bar
    above = np.abs(u) * 0.68 + w * 0.73 - 0.43
    below = np.abs(u) * (0.85 - 0.1 * wobble) - w * 0.53 - 0.53
    string = np.abs(u - 0.12 * np.sin(9 * v)) - 0.07
    tail = _common(string, np.abs(v + 0.78) - 0.2)
    return _union(_common(above, below), tail)


SHAPES: dict[str, Shape] = {
    shape.__name__: shape
    for shape in (
        fish, starfish, shell,
        butterfly, flower, mushroom,
        cactus, crystal, urn,
        moon, balloon, kite,
    )
}  # fmt: skip
