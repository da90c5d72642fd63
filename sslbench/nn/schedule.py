"""How a classifier's learning rate falls in the course of its training."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """The share of the learning rate at every step."""

    steps: int
    name: Literal["cosine", "step"] = "cosine"
    milestones: tuple[float, ...] = ()  # of "step", as fractions of the run
    factor: float = 0.1  # by which the rate is multiplied at each of them

    def share(self, step: int) -> float:
        """Of a step, counted from 0."""
        if self.name == "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * step / self.steps))
        passed = sum(step >= round(milestone * self.steps) for milestone in self.milestones)
        return self.factor**passed
