"""What the trainings of each row left: the logs of its seeds, and how healthy they were."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sslbench.errors import SSLBenchError
from sslbench.health.verdict import HEALTHY, UNTRAINED, Health
from sslbench.report.charts.logs import Readings, read_log
from sslbench.report.charts.scores import Entrant, Scores
from sslbench.report.describe import tallied

FAILED = "failed"
NAMED = 6  # of the rows that are left out


@dataclass(frozen=True)
class Training:
    """One seed."""

    seed: int
    readings: Readings
    verdict: str  # of its health; "failed" where it ended for another cause; "" where none is known
    health: Health | None


@dataclass(frozen=True)
class Trainings:
    """A row, and those of its seeds that have a log."""

    row: Entrant
    seeds: tuple[Training, ...]

    @property
    def verdict(self) -> str:
        """``healthy``, ``2 healthy, 1 cluster collapse``."""
        return tallied([one.verdict for one in self.seeds if one.verdict])

    @property
    def is_sound(self) -> bool:
        return all(one.verdict in (HEALTHY, UNTRAINED, "") for one in self.seeds)


@dataclass(frozen=True)
class Read:
    """The trainings of a suite, and what could not be read, in words."""

    found: tuple[Trainings, ...]
    faults: tuple[str, ...]


Line = tuple[list[int], list[float]]  # places and values


def trainings(scores: Scores) -> Read:
    """Those of every method and of the supervised encoder."""
    found, faults = [], []
    for row in (*scores.methods, *scores.baselines):
        seeds = []
        for planned in scores.rows[row.label]:
            path = scores.store.run_folder(planned.run) / "train.jsonl"
            try:
                readings = read_log(path)
                manifest = scores.store.manifest(planned.run) if readings else None
            except SSLBenchError as error:
                faults.append(f"Training of {row.title}, seed {planned.seed}: {error}")
                continue
            if readings is None or manifest is None:
                continue
            health = manifest.health
            verdict = health.verdict if health else FAILED if manifest.status == FAILED else ""
            seeds.append(Training(planned.seed, readings, verdict, health))
        if seeds:
            found.append(Trainings(row, tuple(seeds)))
    return Read(tuple(found), tuple(faults))


def without_log(scores: Scores, found: Sequence[Trainings]) -> list[str]:
    """Titles of the methods of which no log is kept."""
    known = {one.row.label for one in found}
    return [method.title for method in scores.methods if method.label not in known]


def telling(
    found: Sequence[Trainings], most: int, picture: str
) -> tuple[list[Trainings], list[str]]:
    """At most so many, in their order: those that are not sound first, then those named first.

    And which that leaves out of a picture, in words.
    """
    chosen = sorted(found, key=lambda one: one.is_sound)[:most]
    left = [one.row.title for one in found if one not in chosen]
    more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
    named = f"{', '.join(left[:NAMED])}{more}"
    said = [f"{picture}: {most} of {len(found)} rows are shown; not {named}."]
    return [one for one in found if one in chosen], said if left else []


def mean_line(lines: Sequence[Line]) -> Line:
    """The mean over seeds wherever all of them have a value, interpolated between readings."""
    first = max(at[0] for at, _ in lines)
    last = min(at[-1] for at, _ in lines)
    grid = sorted({place for at, _ in lines for place in at if first <= place <= last})
    rows = [np.interp(grid, at, values) for at, values in lines]
    return grid, [float(value) for value in np.mean(rows, axis=0)] if grid else []
