"""Where the time of a training goes, phase by phase, for those who want to know."""

import time
from collections import defaultdict
from typing import Literal

import torch

Phase = Literal["images", "views", "forward", "backward", "optimiser", "clustering", "rest"]
PHASES: tuple[Phase, ...] = (
    "images",  # waiting for pixels
    "views",
    "forward",
    "backward",
    "optimiser",
    "clustering",  # whatever a method does between epochs
    "rest",  # health, log, checkpoints
)


class Clock:
    """Told at the end of every phase; this one does not listen."""

    def lap(self, phase: Phase) -> None:
        """What happened since the last call was ``phase``."""


class Stopwatch(Clock):
    """Adds up the seconds of each phase. Waits for the device, so it slows a GPU down a little."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[Phase, float] = defaultdict(float)
        self._last = time.perf_counter()

    def lap(self, phase: Phase) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        self.seconds[phase] += now - self._last
        self._last = now
