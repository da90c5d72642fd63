"""Selection among a queue's rows, without asking of the same row in every step.

Guo et al., "HCSC: Hierarchical Contrastive Selective Coding", arXiv:2202.00455, section 3.3.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from sslbench.nn.clustering import Level
from sslbench.nn.memory import FeatureQueue
from sslbench.nn.pairs import InstanceSelector

_BLOCK = 256  # rows of the queue that are computed together


class QueueSelection:
    """How probably a query of each cluster keeps each row of a queue: a table per level.

    The clusters stay for an epoch and a step replaces one batch of the rows, so most of a table is
    what it was. Blocks lie at fixed places: a row's numbers come out of the same product whether
    they are computed alone or with all others, as after a checkpoint, and are the same bits.
    """

    def __init__(self, select: InstanceSelector) -> None:
        self._select = select
        self._tables: list[Tensor] = []
        self._read: list[Tensor] = []  # what they were made of
        self._contents: list[tuple[int, torch.Size, int]] = []
        self._stale: set[int] = set()  # numbers of blocks
        self._pointer = 0  # the queue's, known without asking the device

    def probabilities(self, levels: Sequence[Level], queue: FeatureQueue) -> list[Tensor]:
        """``select`` of all rows, by level: M x K each, to read before the next call."""
        rows = queue.features
        read = [rows, *(part for level in levels for part in _read(level))]
        if [_content(tensor) for tensor in read] != self._contents:
            self._tables = [rows.new_empty(len(level.prototypes), len(rows)) for level in levels]
            self._stale = set(range(-(-len(rows) // _BLOCK)))
            self._pointer = int(queue.pointer)
            self._read = read  # held, or another tensor could take the place of one
            self._contents = [_content(tensor) for tensor in read]
        for block in sorted(self._stale):
            place = slice(block * _BLOCK, (block + 1) * _BLOCK)
            for level, table in zip(levels, self._tables, strict=True):
                table[:, place] = self._select(level, rows[place])
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
        self._read[0] = queue.features
        self._contents[0] = _content(queue.features)


def _read(level: Level) -> tuple[Tensor, ...]:
    """What a selector may read of a level."""
    return level.prototypes, level.concentration, level.kept


def _content(tensor: Tensor) -> tuple[int, torch.Size, int]:
    """Differs from what it was once the tensor is another one, or was written to."""
    return tensor.data_ptr(), tensor.shape, tensor._version
