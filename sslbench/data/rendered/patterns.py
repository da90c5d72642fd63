"""Sixteen surface patterns: how far, from 0 to 1, a point has the second of two colours.

Each takes coordinates (N x H x W) in which the pattern repeats about once per unit, and the draws
of its images. Edges are soft, over about a sixth of a period.
"""

from collections.abc import Callable

import numpy as np

from sslbench.data.draws import Draws, Floats
from sslbench.data.rendered.grid import clipped, column, length, ramp, wave

Pattern = Callable[[Floats, Floats, Draws], Floats]
_TURN = np.float32(2 * np.pi)


def _hard(wave: Floats) -> Floats:
    """A wave in [-1, 1] as two flat colours with a soft edge."""
    return ramp(wave, -0.35, 0.35)


def _cell(values: Floats) -> Floats:
    """The place within a period, in [-0.5, 0.5)."""
    place: Floats = values - np.floor(values + 0.5)
    return place


def _waves(u: Floats, v: Floats, draws: Draws, name: str, count: int = 6) -> Floats:
    """A smooth random field, mean 0 and variance 1: plane waves in random directions."""
    total = np.zeros_like(u)
    for k in range(count):
        angle = draws.between(f"{name}/{k}/angle", 0, 2 * np.pi)
        pitch = draws.between(f"{name}/{k}/pitch", 0.5, 1.0) * _TURN
        phase = draws.between(f"{name}/{k}/phase", 0, 2 * np.pi)
        along = column(np.cos(angle) * pitch) * u + column(np.sin(angle) * pitch) * v
        total += np.sin(along + column(phase))
    return total * np.float32((2 / count) ** 0.5)


def _nearest(u: Floats, v: Floats, draws: Draws, name: str) -> tuple[Floats, Floats, Floats]:
    """Distance to the nearest and second nearest of scattered points, and the nearest's shade."""
    reach = int(np.ceil(max(float(np.abs(u).max()), float(np.abs(v).max())))) + 1
    side = 2 * reach + 1
    offset = draws.between(name, -0.4, 0.4, side, side, 2)
    shade = draws.uniform(f"{name}/shade", side, side)
    first, second = np.full_like(u, 99), np.full_like(u, 99)
    shades = np.zeros_like(u)
    for i in range(side):
        for j in range(side):
            du = u - column(offset[:, i, j, 0]) - (i - reach)
            dv = v - column(offset[:, i, j, 1]) - (j - reach)
            distance = du * du + dv * dv
            nearer = distance < first
            second = np.where(nearer, first, np.minimum(second, distance))
            shades = np.where(nearer, column(shade[:, i, j]), shades)
            first = np.where(nearer, distance, first)
    return np.sqrt(first), np.sqrt(second), shades


def stripes(u: Floats, v: Floats, draws: Draws) -> Floats:
    return _hard(np.sin(_TURN * u))


def zigzag(u: Floats, v: Floats, draws: Draws) -> Floats:
    return _hard(np.sin(_TURN * (v + 0.9 * np.abs(_cell(u * 0.8)))))


def waves(u: Floats, v: Floats, draws: Draws) -> Floats:
    bend = 0.22 * wave(_TURN * 0.7 * u)
    return 0.5 + 0.5 * wave(_TURN * (v + bend))


def checks(u: Floats, v: Floats, draws: Draws) -> Floats:
    return _hard(2 * np.sin(_TURN / 2 * u * 1.5) * np.sin(_TURN / 2 * v * 1.5))


def bricks(u: Floats, v: Floats, draws: Draws) -> Floats:
    shifted = u * 0.7 + 0.5 * (np.floor(v * 1.3 + 0.5) % 2)
    return ramp(
        np.maximum(np.abs(_cell(v * 1.3)), np.abs(_cell(shifted)) * 1.05 - 0.05), 0.34, 0.46
    )


def net(u: Floats, v: Floats, draws: Draws) -> Floats:
    return ramp(np.maximum(np.abs(_cell(u)), np.abs(_cell(v))), 0.26, 0.42)


def spots(u: Floats, v: Floats, draws: Draws) -> Floats:
    shifted = u + 0.5 * (np.floor(v * 1.15 + 0.5) % 2)
    return 1 - ramp(length(_cell(shifted), _cell(v * 1.15)), 0.2, 0.38)


def rings(u: Floats, v: Floats, draws: Draws) -> Floats:
    return _hard(np.cos(_TURN * length(u, v)))


def rays(u: Floats, v: Floats, draws: Draws) -> Floats:
    return _hard(np.sin(7 * np.arctan2(u, v)) * np.minimum(1, 3 * length(u, v)))


def scales(u: Floats, v: Floats, draws: Draws) -> Floats:
    row = np.floor(v * 1.4)
    inside = v * 1.4 - row  # 0 at the row's lower end
    across = _cell(u * 1.1 + 0.5 * (row % 2))
    return ramp(length(across * 1.6, 1 - inside), 0.45, 0.95)


def plaid(u: Floats, v: Floats, draws: Draws) -> Floats:
    broad = _hard(np.sin(_TURN * u)) + _hard(np.sin(_TURN * v))
    fine = ramp(np.abs(_cell(u)), 0.4, 0.5) + ramp(np.abs(_cell(v)), 0.4, 0.5)
    return clipped(0.45 * broad + 0.25 * fine)


def cells(u: Floats, v: Floats, draws: Draws) -> Floats:
    return _nearest(u, v, draws, "cells")[2]


def cracks(u: Floats, v: Floats, draws: Draws) -> Floats:
    first, second, _ = _nearest(u, v, draws, "cracks")
    return 1 - ramp(second - first, 0.05, 0.25)


def marble(u: Floats, v: Floats, draws: Draws) -> Floats:
    return 1 - np.abs(np.sin(_TURN / 2 * (u * 0.8 + 0.45 * _waves(u, v, draws, "marble")))) ** 0.7


def wood(u: Floats, v: Floats, draws: Draws) -> Floats:
    bend = 0.1 * _waves(u * 0.25, v, draws, "wood")
    return _cell(1.3 * length(u * 0.22, v + 1.2 + bend)) + 0.5


def blotches(u: Floats, v: Floats, draws: Draws) -> Floats:
    return _hard(0.9 * _waves(u * 1.2, v * 1.2, draws, "blotches"))


PATTERNS: dict[str, Pattern] = {
    pattern.__name__: pattern
    for pattern in (
        stripes, zigzag, waves, checks, bricks, net, spots, rings,
        rays, scales, plaid, cells, cracks, marble, wood, blotches,
    )
}  # fmt: skip
