"""Random numbers that depend on names and positions only, never on what was drawn before.

A counter-based generator: SplitMix64's finaliser (Steele, Lea, Flood, "Fast Splittable Pseudorandom
Number Generators", OOPSLA 2014) over (seed, stream, position, name, column). So image 7 is the same
whether ten or ten thousand are rendered, and a new draw changes no other. Numpy's own generators
promise neither that nor equal streams from one release to the next.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]  # float32 throughout; numpy's types cannot tell
_Keys = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mixed(keys: _Keys) -> _Keys:
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def _key(text: str) -> _Keys:
    return np.frombuffer(hashlib.sha256(text.encode()).digest()[:8], dtype="<u8").astype(np.uint64)


class Draws:
    """One row of random numbers per position, by name."""

    def __init__(self, seed: int, stream: str, positions: Iterable[int] | Integers) -> None:
        places: _Keys = np.asarray(positions, dtype=np.int64).astype(np.uint64)
        self._keys: _Keys = _mixed(_mixed(places * _GOLDEN) ^ _key(f"{seed}/{stream}"))  # N

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, rows: NDArray[np.generic]) -> "Draws":
        """The draws of some rows: numbers stay with their row."""
        part = object.__new__(Draws)
        part._keys = self._keys[rows]
        return part

    def bits(self, name: str, columns: int = 1) -> _Keys:
        """N x columns, 64 random bits each."""
        column = np.arange(1, columns + 1, dtype=np.uint64) * _GOLDEN
        return _mixed((self._keys ^ _key(name))[:, None] + column)

    def uniform(self, name: str, *shape: int) -> Floats:
        """N x shape, uniform in [0, 1)."""
        bits = self.bits(name, int(np.prod(shape, dtype=np.int64)))
        unit = (bits >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
        return unit.reshape(len(self), *shape)

    def between(self, name: str, low: float, high: float, *shape: int) -> Floats:
        """N x shape, uniform in [low, high)."""
        return np.float32(low) + np.float32(high - low) * self.uniform(name, *shape)

    def integers(self, name: str, high: int, *shape: int) -> Integers:
        """N x shape, uniform in 0 .. high - 1."""
        return (self.uniform(name, *shape) * high).astype(np.int64)

    def noise(self, name: str, *shape: int) -> Floats:
        """N x shape, mean 0, standard deviation 1, bounded: a sum of four uniforms, scaled."""
        bits = self.bits(name, int(np.prod(shape, dtype=np.int64)))
        parts = (bits >> np.uint64(shift) & np.uint64(0xFFFF) for shift in (0, 16, 32, 48))
        unit = sum(parts, start=np.uint64(0)).astype(np.float32) * np.float32(2.0**-16)
        return ((unit - 2) * np.float32(3**0.5)).reshape(len(self), *shape)


def permutation(seed: int, stream: str, count: int) -> Integers:
    """0 .. count - 1 in an order that depends on the seed and the stream's name."""
    keys = Draws(seed, stream, np.arange(count)).bits("order")[:, 0]
    return np.argsort(keys, kind="stable").astype(np.int64)


def balanced_classes(seed: int, stream: str, count: int, classes: int) -> Integers:
    """A class for every position: each run of ``classes`` positions has every class once.

    Independent of ``count``, so a smaller set is the beginning of a larger one.
    """
    blocks = -(-count // classes)
    keys = Draws(seed, stream, np.arange(blocks)).bits("class", classes)  # blocks x classes
    return np.argsort(keys, axis=1, kind="stable").astype(np.int64).reshape(-1)[:count]
