"""Trainings that can be stopped: saved every minute, and when they are interrupted."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch

from sslbench.errors import Interrupted

SAVE_EVERY = 60.0  # seconds between checkpoints


class _Checkpoint(Protocol):
    def save(self, state: Mapping[str, Any]) -> None: ...

    def load(self) -> dict[str, Any] | None: ...


class Lender(Protocol):
    """What an evaluation's context lends, as far as a training needs it."""

    @property
    def device(self) -> torch.device: ...

    @property
    def checkpoint(self) -> _Checkpoint: ...

    def progress(self, done: int, total: int) -> None: ...


class Steps:
    """Tells of every step of a training, and keeps ``state``, all that it changes."""

    def __init__(self, lender: Lender, state: Callable[[], Mapping[str, Any]]) -> None:
        self.lender, self.state, self.saved = lender, state, time.monotonic()

    def save(self) -> None:
        self.lender.checkpoint.save(self.state())
        self.saved = time.monotonic()

    def tell(self, done: int, total: int) -> None:
        """Raises Interrupted if the training is to stop; it is saved by then."""
        if time.monotonic() - self.saved > SAVE_EVERY:
            self.save()
        try:
            self.lender.progress(done, total)
        except Interrupted:
            self.save()
            raise
