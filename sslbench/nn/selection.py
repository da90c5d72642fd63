"""Selection without asking in every step what has stayed: tables of how probably a pair is kept.

Guo et al., "HCSC: Hierarchical Contrastive Selective Coding", arXiv:2202.00455, section 3.3.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from sslbench.nn.chances import Chances
from sslbench.nn.clustering import Level
from sslbench.nn.memory import FeatureQueue
from sslbench.nn.pairs import InstanceSelector, PrototypeSelector

_BLOCK = 256  # rows of the queue that are computed together


class PrototypeSelection:
    """How probably a query below each cluster of the next level keeps each prototype."""

    def __init__(self, select: PrototypeSelector) -> None:
        self._select = select
        self._tables: list[Chances | None] = []
        self._of = _Contents()

    def probabilities(self, levels: Sequence[Level]) -> list[Chances | None]:
        """By level: M of the next level x M; None for the last, of which all are kept."""
        if self._of.changed(levels):
            tables = [Chances(self._select(*pair)) for pair in pairwise(levels)]
            self._tables = [*tables, None]
        return self._tables


class QueueSelection:
    """How probably a query of each cluster keeps each row of a queue: a table per level.

    The clusters stay for an epoch and a step replaces one batch of the rows, so most of a table is
    what it was. Blocks lie at fixed places: a row's numbers come out of the same product whether
    they are computed alone or with all others, as after a checkpoint, and are the same bits.
    """

    def __init__(self, select: InstanceSelector) -> None:
        self._select = select
        self._tables: list[Chances] = []
        self._of = _Contents()
        self._stale: set[int] = set()  # numbers of blocks
        self._pointer = 0  # the queue's, known without asking the device

    def probabilities(self, levels: Sequence[Level], queue: FeatureQueue) -> list[Chances]:
        """``select`` of all rows, by level: M x K each, to read before the next call."""
        rows = queue.features
        if self._of.changed(levels, rows):
            shapes = [(len(level.prototypes), len(rows)) for level in levels]
            self._tables = [Chances(rows.new_zeros(shape)) for shape in shapes]
            self._stale = set(range(-(-len(rows) // _BLOCK)))
            self._pointer = int(queue.pointer)
        for block in sorted(self._stale):
            place = slice(block * _BLOCK, (block + 1) * _BLOCK)
            for level, table in zip(levels, self._tables, strict=True):
                table.replace(place, self._select(level, rows[place]))
        self._stale.clear()
        return self._tables

    def pushed(self, count: int, queue: FeatureQueue) -> None:
        """Says that ``count`` rows, and nothing else, came to the queue since ``probabilities``."""
        if not self._tables:
            return
        size = len(queue)
        replaced = range(self._pointer, self._pointer + min(count, size))
        self._stale.update(row % size // _BLOCK for row in replaced)
        self._pointer = (self._pointer + count) % size
        self._of.accept(queue.features)


class _Contents:
    """What tables were made of: levels, and perhaps rows."""

    def __init__(self) -> None:
        self._read: list[Tensor] = []  # held, or another tensor could take the place of one
        self._contents: list[tuple[int, torch.Size, int]] = []

    def changed(self, levels: Sequence[Level], *rows: Tensor) -> bool:
        """Whether these are others than in the last call, or were written to since."""
        read = [*rows, *(part for level in levels for part in _read(level))]
        contents = [_content(tensor) for tensor in read]
        changed = contents != self._contents
        if changed:
            self._read, self._contents = read, contents
        return changed

    def accept(self, rows: Tensor) -> None:
        """Takes what the rows are now for what they were."""
        self._read[0], self._contents[0] = rows, _content(rows)


def _read(level: Level) -> tuple[Tensor, ...]:
    """What a selector may read of a level."""
    return level.prototypes, level.concentration, level.kept


def _content(tensor: Tensor) -> tuple[int, torch.Size, int]:
    """Differs from what it was once the tensor is another one, or was written to."""
    return tensor.data_ptr(), tensor.shape, tensor._version
