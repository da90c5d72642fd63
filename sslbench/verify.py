"""Every cell of a suite's tables computed again from the stored outcomes of single test images.

The tables are made twice: out of what the records say, and out of what each plugin's ``score`` says
of the outcomes. Where a cell differs, or cannot be computed again, it is named. Costs have no
outcomes; that nobody edited them is what a manifest's seal says. Then the tables and pages that
were written are held against what the records give.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from sslbench.api import evaluations
from sslbench.config import build
from sslbench.disk import file_digest
from sslbench.errors import SSLBenchError, StoreError
from sslbench.evaluate import scored
from sslbench.report.frame import frame
from sslbench.report.grid import Cell, Column, Line, Table
from sslbench.report.sound import SoundStore
from sslbench.report.tables import build_table
from sslbench.report.write import planned_suite, table_config
from sslbench.report.written import differences
from sslbench.spreads import SpreadReader
from sslbench.stats.spread import Spread
from sslbench.store import PlanFile, Record, Score, Store

TOLERANCE = 1e-9  # relative, of numbers that another machine's arithmetic may round otherwise


@dataclass(frozen=True)
class Mismatch:
    """A cell that is not what its outcomes give."""

    suite: str
    table: str
    row: str
    column: str
    seed: str  # a number, or "all": the seeds agree, and what is made of them does not
    given: str
    recomputed: str

    def __str__(self) -> str:
        return (
            f"suite {self.suite}, table {self.table}, row {self.row!r}, column {self.column!r}, "
            f"seed {self.seed}: the record says {self.given}, its outcomes give {self.recomputed}"
        )


@dataclass(frozen=True)
class Verified:
    """What came of it. It holds if there are neither mismatches nor faults."""

    suite: str
    cells: int  # numbers of tables, each over all its seeds
    records: int  # computed again
    mismatches: tuple[Mismatch, ...]
    faults: tuple[str, ...]  # files that are damaged, edited or out of date; tables there are not

    @property
    def holds(self) -> bool:
        return not self.mismatches and not self.faults


def verify(store: Store, suite: str, reported: Path | None = None) -> Verified:
    """Compares every cell of a suite with its outcomes, and its files with its records.

    ``reported`` is the folder of quoted numbers, which tables were written with. Raises StoreError
    if the suite has not been run into this results folder.
    """
    plan = planned_suite(store, suite)
    given_store = _AsWritten(store.root)
    given = frame(given_store, plan)
    again = _Recomputed(given_store)
    found = again.frame(given)
    mismatches: dict[Mismatch, None] = {}
    faults = [excluded.reason for excluded in given_store.excluded]
    cells = 0
    for name in plan.tables:
        try:
            one = _table(plan, name, given, SpreadReader(given_store))
            two = _table(plan, name, found, again)
        except SSLBenchError as error:
            faults.append(given_store.relative(f"table {name} of suite {suite}: {error}"))
            continue
        for number, column in enumerate(one.columns):
            pairs = [
                (line, line.cells[number], other.cells[number])
                for line, other in zip(one.lines, two.lines, strict=True)
            ]
            cells += sum(cell.value is not None for _, cell, _ in pairs)
            place = _Place(suite, name, column.heading)
            if column != two.columns[number]:
                faults.append(
                    f"table {name} of suite {suite}, column {column.heading!r}: the records say "
                    f"{_kind(column)}, its outcomes are {_kind(two.columns[number])}"
                )
            unlike = [
                mismatch
                for line, cell, other in pairs
                for mismatch in place.numbers(line, cell, other, again.why(plan, line, column))
            ]
            if not unlike:  # else who leads may differ for no other reason
                unlike = [m for trio in pairs for m in place.standing(*trio)]
            mismatches |= dict.fromkeys(unlike)
    faults = list(dict.fromkeys([*faults, *differences(store, suite, reported)]))
    return Verified(suite, cells, len(again.records), tuple(mismatches), tuple(faults))


def _kind(column: Column) -> str:
    more = "more" if column.higher_is_better else "less"
    return f"{column.unit or 'of no unit'}, of which {more} is better"


class _AsWritten(SoundStore):
    """Also says what stands in a record that was edited, so that the cell can be named."""

    def record(self, run: str, evaluation: str) -> Record | None:
        try:
            return self.unsealed_record(run, evaluation)
        except StoreError as error:
            self.exclude(run, evaluation, error)
            return None


class _Recomputed(SpreadReader):
    """What the outcomes of records give, each record computed once."""

    def __init__(self, store: _AsWritten) -> None:
        super().__init__(store)
        self.store = store
        self.records: dict[tuple[str, str], dict[str, Score]] = {}
        self.reasons: dict[tuple[str, str], str] = {}  # why a record could not be computed again
        self._spreads: dict[tuple[str, str], Mapping[str, Spread]] = {}

    def frame(self, given: pd.DataFrame) -> pd.DataFrame:
        """The frame with values and intervals of the outcomes in place of those of the records."""
        lines = []
        for entry in given.to_dict("records"):
            line = {str(key): value for key, value in entry.items()}
            if line["record"] and line["status"] == "done":
                line |= self._line(str(line["run"]), str(line["record"]), str(line["metric"]))
            lines.append(line)
        return pd.DataFrame(lines, columns=given.columns).astype(given.dtypes.to_dict())

    def spread(self, entry: Mapping[str, Any]) -> Spread | None:
        return self._spreads[entry["run"], entry["record"]].get(entry["metric"])

    def why(self, plan: PlanFile, line: Line, column: Column) -> dict[int, str]:
        """By seed, why a cell could not be computed again."""
        found = {}
        keys = [one.evaluation for one in (column, column.less) if one is not None]
        for row in plan.rows:
            names = [row.evaluations.get(key, "") for key in keys if row.label == line.label]
            reasons = [self.reasons[row.run, n] for n in names if (row.run, n) in self.reasons]
            if reasons:
                found[row.seed] = "; ".join(reasons)
        return found

    def _line(self, run: str, name: str, metric: str) -> dict[str, Any]:
        key = (run, name)
        if key not in self.records and key not in self.reasons:
            try:
                self._compute(run, name)
            except SSLBenchError as error:
                self.reasons[key] = self.store.relative(error)
        if key in self.reasons:
            return {"status": "failed", "reason": self.reasons[key], "value": math.nan}
        score = self.records[key].get(metric)
        if score is None:
            return {"status": "failed", "reason": f"no score {metric}", "value": math.nan}
        bounds = score.interval
        return {
            "unit": score.unit,
            "higher_is_better": score.higher_is_better,
            "value": score.value,
            "low": math.nan if bounds is None else bounds.low,
            "high": math.nan if bounds is None else bounds.high,
            "level": math.nan if bounds is None else bounds.level,
            "n": score.n,
        }

    def _compute(self, run: str, name: str) -> None:
        record = self.store.record(run, name)
        assert record is not None
        path = self.store.evaluation_file(run, name, "parquet")
        if not path.exists():
            raise StoreError(f"nothing: there is no {path}")
        if file_digest(path) != record.outcomes_sha256:
            raise StoreError(f"nothing: {path} is not the file that its record names")
        plugin = evaluations.get(record.evaluation)
        told = record.fingerprint.get("settings", {})
        evaluation = plugin(build(plugin.Config, told, f"{path.with_suffix('.json')}: settings"))
        scores, spreads = scored(record.evaluation, evaluation, pq.read_table(path))
        self.records[run, name], self._spreads[run, name] = scores, spreads


def _table(plan: PlanFile, name: str, numbers: pd.DataFrame, reader: SpreadReader) -> Table:
    return build_table(numbers, plan, name, table_config(plan, name), reader)


@dataclass(frozen=True)
class _Place:
    """A column of a table."""

    suite: str
    table: str
    column: str

    def mismatch(self, line: Line, seed: str, given: str, found: str) -> Mismatch:
        return Mismatch(self.suite, self.table, line.title, self.column, seed, given, found)

    def numbers(
        self, line: Line, given: Cell, found: Cell, why: Mapping[int, str]
    ) -> list[Mismatch]:
        """A mismatch per seed that differs, or for what was made of seeds that agree."""
        unlike = []
        for seed, value in given.seeds.items():
            other = found.seeds.get(seed)
            if other is None or not _close(value, other):
                said = why.get(seed, "nothing") if other is None else f"{other!r}"
                unlike.append(self.mismatch(line, str(seed), f"{value!r}", said))
        pairs = {
            "mean": (given.value, found.value),
            "lower bound": (given.low, found.low),
            "upper bound": (given.high, found.high),
        }
        return unlike or [
            self.mismatch(line, "all", f"{what} {one!r}", f"{what} {two!r}")
            for what, (one, two) in pairs.items()
            if not _close(one, two)
        ]

    def standing(self, line: Line, given: Cell, found: Cell) -> list[Mismatch]:
        """Who is better than all, who is not told apart, how far the first row is, how sure."""
        shown = ("bold", "tied", "difference_text", "level")
        pairs = {what: (getattr(given, what), getattr(found, what)) for what in shown}
        return [
            self.mismatch(line, "all", f"{what} {one!r}", f"{what} {two!r}")
            for what, (one, two) in pairs.items()
            if one != two
        ]


def _close(one: float | None, two: float | None) -> bool:
    if one is None or two is None:
        return one is two
    return bool(np.isclose(one, two, rtol=TOLERANCE, atol=TOLERANCE))
