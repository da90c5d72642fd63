"""How linear classifiers are trained: a stream of batches, and a loop that can stop.

A stream may be cached features in a new order every epoch, or what an encoder says of new views of
the images; the heads on every input of a batch learn from it in one pass.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any, Protocol

import torch
from torch import Tensor

from sslbench.nn.blocks import BlockInput, read_blocks
from sslbench.nn.encoder import Encoder
from sslbench.nn.linear import HeadsInTraining, LinearHeads, Rows, Standardiser
from sslbench.nn.schedule import Schedule

Batch = tuple[Sequence[Tensor], Tensor]  # each input's features, n x D_i, and labels, n


class Stream(Protocol):
    """Batches without end, which depend on their number alone."""

    @property
    def epoch_steps(self) -> int:
        """Batches in which every image is seen about once."""
        ...

    def batches(self, start: int) -> Iterator[Batch]:
        """From batch ``start`` on."""
        ...


@dataclass(frozen=True)
class CachedBatches:
    """Features that are at hand, in an order that depends on the seed and their number only."""

    inputs: Sequence[Rows]  # of N images each
    labels: Tensor  # N, on the device
    batch_size: int
    seed: int

    @property
    def epoch_steps(self) -> int:
        """The last batch may be smaller."""
        return math.ceil(len(self.labels) / self.batch_size)

    def batches(self, start: int) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(self.seed)
        for epoch in count():
            order = torch.randperm(len(self.labels), generator=generator)
            seen = max(0, start - epoch * self.epoch_steps)
            for index in torch.split(order, self.batch_size)[seen:]:
                yield [rows[index] for rows in self.inputs], self.labels[index]


class ViewBatches(Protocol):
    """What makes new views of images: a ``ViewLoader`` of one view."""

    @property
    def steps_per_epoch(self) -> int: ...

    def epoch(self, epoch: int, start_step: int) -> Iterator[tuple[tuple[Tensor, ...], Tensor]]: ...


@dataclass(frozen=True)
class EncodedViews:
    """What a frozen encoder says of new views of the images."""

    encoder: Encoder  # in eval mode
    views: ViewBatches
    labels: Tensor  # N, on the device
    inputs: Sequence[BlockInput]
    standardise: Sequence[Standardiser | None]  # of each input

    @property
    def epoch_steps(self) -> int:
        return self.views.steps_per_epoch

    def batches(self, start: int) -> Iterator[Batch]:
        first, seen = divmod(start, self.epoch_steps)
        for epoch in count(first):
            for (view,), index in self.views.epoch(epoch, seen if epoch == first else 0):
                read = read_blocks(self.encoder, view, self.inputs)
                pairs = zip(read, self.standardise, strict=True)
                yield [x if s is None else s(x) for x, s in pairs], self.labels[index]


class LinearTraining:
    """Heads on one or more inputs, a stream and a schedule: the state of one training."""

    def __init__(
        self,
        groups: Sequence[HeadsInTraining],
        stream: Stream,
        schedule: Schedule,
        epoch_steps: int,
    ) -> None:
        """``groups``: the heads on each input of the stream, in its order."""
        self.groups, self.stream, self.schedule = groups, stream, schedule
        self.epoch_steps, self.done = epoch_steps, 0

    def run(self, on_epoch: Callable[[int], None], on_step: Callable[[int], None]) -> None:
        """The rest of the steps. Both are told how many are done, ``on_epoch`` first."""
        left = self.schedule.steps - self.done
        for inputs, labels in islice(self.stream.batches(self.done), left):
            share = self.schedule.share(self.done)
            for group, x in zip(self.groups, inputs, strict=True):
                group.step(x, labels, share)
            self.done += 1
            if self.done % self.epoch_steps == 0:
                on_epoch(self.done // self.epoch_steps)
            on_step(self.done)

    def accuracy(self, inputs: Sequence[Rows], labels: Tensor) -> Tensor:
        """Of every head, input by input, on features of other images: float64, -1 if diverged."""
        parts = [
            group.heads.accuracy(rows, labels)
            for group, rows in zip(self.groups, inputs, strict=True)
        ]
        return torch.cat(parts)

    def head(self, number: int) -> LinearHeads:
        """A copy of one head, counted input by input."""
        for group in self.groups:
            if number < group.count:
                return group.heads.alone(number)
            number -= group.count
        raise IndexError(number)

    def state(self) -> dict[str, Any]:
        """All that ``run`` changes."""
        return {"done": self.done, "groups": [group.state() for group in self.groups]}

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from what ``state`` gave."""
        self.done = state["done"]
        for group, saved in zip(self.groups, state["groups"], strict=True):
            group.load(saved)
