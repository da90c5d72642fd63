"""Where an epoch's time goes, method by method: images, views, forward, backward, and so on."""

import statistics
from collections import defaultdict
from dataclasses import dataclass

from sslbench.card import by_family
from sslbench.config import Tree
from sslbench.plan import Planned
from sslbench.speed.cases import Setup
from sslbench.speed.measurement import Measurement
from sslbench.speed.rows import CPU, images_of, planned, trained
from sslbench.speed.timing import figure
from sslbench.train.clock import PHASES, Phase, Stopwatch


@dataclass(frozen=True)
class Phases:
    """An epoch of every method, taking turns; the first of each is not counted."""

    name: str = "phases"
    about: str = "where an epoch of every method spends its time; nothing to compare with"
    methods: tuple[str, ...] = ()  # none: all
    steps: int | None = None  # of the epoch; None: all
    rounds: int = 2

    def _rows(self) -> dict[str, Planned]:
        # A rate so small that nothing diverges: it changes no time.
        trial: Tree = {"epochs": 1, "optim": {"lr": 1e-3}}
        if self.steps is not None:
            trial["steps"] = self.steps
        return {name: planned(name, {"pretrain": trial}) for name in self.methods or by_family()}

    def measure(self, setup: Setup) -> Measurement:
        rows = self._rows()
        first = next(iter(rows.values()))
        images = images_of(first)
        laps: dict[str, dict[Phase, list[float]]] = {
            name: {phase: [] for phase in PHASES} for name in rows
        }
        for number in range(self.rounds + 1):
            for name, row in rows.items():
                setup.report(f"{name}: round {number} of {self.rounds}")
                clock = Stopwatch(CPU)
                trained(row, images, clock)
                for phase in PHASES if number else ():
                    steps = row.data.steps
                    laps[name][phase].append(1e3 * clock.seconds[phase] / steps)
        totals = {
            name: [sum(times) for times in zip(*phases.values(), strict=True)]
            for name, phases in laps.items()
        }
        parts: dict[str, dict[str, float]] = defaultdict(dict)
        for name, phases in laps.items():
            for phase, times in phases.items():
                parts[name][phase] = round(statistics.median(times), 2)
        return Measurement(
            title=f"An epoch of {first.data.steps} steps of {first.data.batch_size} images at "
            f"{first.data.image_size} px, by phase",
            unit="ms/step",
            rounds=self.rounds,
            figures={name: figure(times) for name, times in totals.items()},
            ratios={},
            parts=dict(parts),
            note="Rest: health, log and checkpoints, which weigh more in one epoch than in many.",
        )


PHASES_OF_ALL = Phases()
