"""The course of a training: whether, and at which step, loss or weights ran away while finite.

Batch norm keeps a network's outputs in bounds whatever its weights are, so a learning rate that is
far too large seldom ends in NaN. It shows in the weights instead, whose length such steps change by
a good part of itself at once, and elsewhere in a loss that leaves the range that it began in.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf, log

OPENING = 0.2  # share of the run from whose highest loss it is counted
SMOOTHED = 20  # steps, about, that a loss is averaged over
# The weights' norm jumps where it changes by more than this in one step, and is restless where it
# jumps in more than this share of a run's steps. A few jumps at the start are growth: thereby a
# network that batch norm makes blind to its weights' scale takes shorter steps. Tried on the quick
# suite shortened to 186 steps: sound runs jump in none, Barlow Twins in 17, its first ones; at a
# rate of 50 instead of 0.48 SimCLR does in 58, BYOL in 103, MoCo in 109.
JUMP, RESTLESS = 0.05, 0.15
# How far above the opening's highest loss is far: this share of what the loss is, or has fallen by.
# Sound runs, HCSC's and PCL's later terms and DINO among them, rose by 0.01 of it at most.
RISE = 0.25
# A loss is flat if it never left a band of this share of itself in so many steps or more. Tried on
# all methods of the quick suite: sound runs moved by 0.015 (DINO, 124 steps) to 0.6 of it, MoCo and
# SimCLR at a temperature of 100 by 0.0006 and 0.0007 in 496 steps.
FLAT, FLAT_STEPS = 0.005, 100


@dataclass
class Course:
    """Follows every step; all of its state is plain numbers, which a checkpoint keeps."""

    weight_norm: float  # of all that is trained, before the first step
    steps: int  # of the whole run
    jumps: int = 0  # steps in which it changed by more than JUMP, up or down
    jumped: int | None = None  # the first of them
    terms: list[str] = field(default_factory=list)  # of the loss; it is compared with the like only
    counted: int = 0  # steps with these terms
    smoothed: float = 0.0  # loss
    highest: float = -inf  # smoothed, in the opening
    lowest: float = inf  # smoothed, so far
    peak: float = -inf  # smoothed, so far
    rose: int | None = None  # the step since which the loss has been above its limit

    def follow(self, step: int, terms: Iterable[str], loss: float, weight_norm: float) -> None:
        """``step`` counts from 1; all numbers are finite."""
        change = abs(log(max(weight_norm, 1e-30) / max(self.weight_norm, 1e-30)))
        self.weight_norm = weight_norm
        if change > log(1 + JUMP):
            self.jumps += 1
            self.jumped = self.jumped or step
        names = sorted(terms)
        if names != self.terms:
            self.terms, self.counted, self.rose = names, 0, None
            self.highest, self.lowest, self.peak = -inf, inf, -inf
        self.counted += 1
        rate = max(1 / self.counted, 1 / SMOOTHED)
        self.smoothed += rate * (loss - self.smoothed)
        self.lowest = min(self.lowest, self.smoothed)
        self.peak = max(self.peak, self.smoothed)
        if self.counted <= max(SMOOTHED, OPENING * self.steps):
            self.highest = max(self.highest, self.smoothed)
        elif self.smoothed <= self.limit:
            self.rose = None
        elif self.rose is None:
            self.rose = step

    @property
    def is_restless(self) -> bool:
        return self.jumps > RESTLESS * self.steps

    @property
    def is_flat(self) -> bool:
        """Whether nothing was learnt: the loss stayed where it began."""
        moved = self.peak - self.lowest
        return self.counted >= FLAT_STEPS and moved < FLAT * max(abs(self.peak), abs(self.lowest))

    @property
    def limit(self) -> float:
        """The loss above which it is far from where it began."""
        return self.highest + RISE * max(abs(self.highest), self.highest - self.lowest)

    @property
    def diverged(self) -> int | None:
        """The first step of what was not recovered from, or None."""
        began = (self.jumped if self.is_restless else None, self.rose)
        return min((step for step in began if step is not None), default=None)
