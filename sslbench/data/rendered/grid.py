"""Coordinates, soft edges, smooth noise and colours: what every picture is made of.

Images are batches, N x H x W. The picture plane is [-1, 1] x [-1, 1] with y downwards, so that
nothing here depends on the size in pixels.
"""

import numpy as np

from sslbench.data.draws import Draws, Floats


def plane(size: int) -> tuple[Floats, Floats]:
    """x and y of the pixels' centres, 1 x size x size each."""
    line = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1).astype(np.float32)
    y, x = np.meshgrid(line, line, indexing="ij")
    return x[None], y[None]


def column(values: Floats) -> Floats:
    """N values as N x 1 x 1, to go with N x H x W."""
    return values[:, None, None]


def clipped(values: Floats, low: float = 0.0, high: float = 1.0) -> Floats:
    result: Floats = np.clip(values, low, high)
    return result


def length(u: Floats, v: Floats) -> Floats:
    result: Floats = np.hypot(u, v)
    return result


def wave(phase: Floats) -> Floats:
    """The sine."""
    result: Floats = np.sin(phase)
    return result


def coverage(distance: Floats, pixel: Floats | float) -> Floats:
    """How much of a pixel lies inside: 1 within, 0 without, linear over one pixel at the edge."""
    return clipped(0.5 - distance / pixel)


def ramp(values: Floats, low: float, high: float) -> Floats:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = clipped((values - low) / (high - low))
    return t * t * (3 - 2 * t)


def blend(under: Floats, over: Floats, alpha: Floats) -> Floats:
    """N x H x W x 3 pictures, the upper one as visible as ``alpha`` (N x H x W) says."""
    return under + alpha[..., None] * (over - under)


def smooth_noise(draws: Draws, name: str, size: int, rows: int, columns: int) -> Floats:
    """N x size x size in [0, 1]: random values on a lattice, smoothly interpolated."""
    lattice = draws.uniform(name, rows + 1, columns + 1)
    return _interpolation(size, rows) @ lattice @ _interpolation(size, columns).T


def _interpolation(size: int, cells: int) -> Floats:
    """size x (cells + 1) weights of the lattice points for every pixel of a line."""
    place = (np.arange(size) + 0.5) / size * cells
    cell = np.minimum(place.astype(np.int64), cells - 1)
    t = place - cell
    t = t * t * (3 - 2 * t)
    weights = np.zeros((size, cells + 1), dtype=np.float32)
    weights[np.arange(size), cell] = 1 - t
    weights[np.arange(size), cell + 1] = t
    return weights


def clouds(draws: Draws, name: str, size: int, cells: int = 3) -> Floats:
    """N x size x size in [0, 1]: three octaves of smooth noise."""
    octaves = [smooth_noise(draws, f"{name}/{k}", size, cells << k, cells << k) for k in range(3)]
    return (octaves[0] * 4 + octaves[1] * 2 + octaves[2]) / np.float32(7)


def rgb(hue: Floats, saturation: Floats, value: Floats) -> Floats:
    """Hue in turns (any real number), saturation and value in [0, 1] -> ... x 3 in [0, 1]."""
    sector = (hue[..., None] * 6 + np.array([5, 3, 1], dtype=np.float32)) % 6
    dip = clipped(np.minimum(sector, 4 - sector))
    return value[..., None] * (1 - saturation[..., None] * dip)


def painted(colour: Floats) -> Floats:
    """N x 3 colours as N x 1 x 1 x 3 pictures."""
    return colour[:, None, None, :]


def developed(picture: Floats, draws: Draws, noise: float = 0.02) -> Floats:
    """Exposure, contrast and sensor noise: the last step of every picture. N x H x W x 3."""
    gain = draws.between("exposure", 0.8, 1.15)[:, None, None, None]
    contrast = draws.between("contrast", 0.85, 1.15)[:, None, None, None]
    grain = draws.between("grain", 0.3, 1.0)[:, None, None, None] * noise
    picture = ((picture - 0.5) * contrast + 0.5) * gain
    return clipped(picture + grain * draws.noise("sensor", *picture.shape[1:]))


def bytes_of(picture: Floats) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """N x H x W x 3 in [0, 1] -> N x 3 x H x W, uint8."""
    levels = (picture * 255 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(0, 3, 1, 2))
