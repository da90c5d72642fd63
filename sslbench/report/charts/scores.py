"""What charts are drawn from: rows by family, the headline of every evaluation, and their cells."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from sslbench.card import FAMILIES
from sslbench.report.cells import Entry, digits_of, draft_cell, written
from sslbench.report.columns import build_column, by_row, is_of
from sslbench.report.describe import shares_method
from sslbench.report.frame import PRETRAIN
from sslbench.report.grid import Cell, Column, Kind, Table
from sslbench.report.order import by_label, kind_of
from sslbench.run import BASELINES
from sslbench.spreads import SpreadReader
from sslbench.store import PlanFile, Row, Store

BEST = 3  # rows that the words for a picture name


@dataclass(frozen=True)
class Entrant:
    """A row of the suite."""

    label: str
    title: str
    kind: Kind
    family: str = ""  # "" for a baseline, and where all rows are of one method
    name: str = ""  # its title, without the method's where all rows are of one


class Scores:
    """A suite's rows, and the cell of any score in them: a table's own where a table has it.

    Raises StoreError, when asked for a cell that no table has, for a spread that is damaged.
    """

    def __init__(
        self, store: Store, plan: PlanFile, numbers: pd.DataFrame, tables: Sequence[Table]
    ) -> None:
        self.store = store
        self.rows = by_label(plan)
        self.methods = _by_family(self.rows)
        self.baselines = [
            Entrant(label, rows[0].title, kind_of(label), name=rows[0].title)
            for label in BASELINES
            if (rows := self.rows.get(label))
        ]
        self.entries = by_row(numbers)
        self._reader = SpreadReader(store)
        self._tabled: dict[tuple[str, str, str], Cell] = {}
        self._titles: dict[tuple[str, str], str] = {}
        for table in tables:
            self._learn(table)
        self.columns = self._headlines()

    def _learn(self, table: Table) -> None:
        for number, column in enumerate(table.columns):
            if column.less is not None:
                continue
            self._titles.setdefault((column.evaluation, column.metric), column.title)
            for line in table.lines:
                if line.kind != "reported":
                    key = (line.label, column.evaluation, column.metric)
                    self._tabled.setdefault(key, line.cells[number])

    def _headlines(self) -> tuple[Column, ...]:
        """The first metric of each evaluation that has a number, in the plan's order."""
        keys = dict.fromkeys(
            key
            for some in self.rows.values()
            for row in some
            for key in (*row.evaluations, *row.skipped)
        )
        found = []
        for key in keys:
            measured = next((e["metric"] for e in self.of(key) if e["status"] == "done"), None)
            if measured is not None:
                found.append(self.column(key, measured))
        return tuple(found)

    def of(self, evaluation: str) -> Iterable[Entry]:
        """The frame's lines of an evaluation."""
        for label in self.rows:
            yield from self.entries.get((label, evaluation), ())

    def column(self, evaluation: str, metric: str) -> Column:
        """A score or a cost by name, under the title that a table gives it."""
        plain = f"{evaluation} {metric}".replace("_", " ")
        title = self._titles.get((evaluation, metric), plain[:1].upper() + plain[1:])
        return build_column(title, f"{evaluation}.{metric}", "of charts", self.entries)

    def cell(self, label: str, column: Column) -> Cell:
        key = (label, column.evaluation, column.metric)
        if key not in self._tabled:
            of_it = [e for e in self.entries.get(key[:2], ()) if is_of(e, column)]
            self._tabled[key] = draft_cell(column, of_it, self._reader).cell
        return self._tabled[key]

    def value(self, label: str, column: Column) -> float | None:
        return self.cell(label, column).value

    def ranked(self, column: Column) -> list[tuple[Entrant, Cell]]:
        """The methods that have a number, the best first."""
        cells = [(method, self.cell(method.label, column)) for method in self.methods]
        known = [(method, cell) for method, cell in cells if cell.value is not None]
        sign = -1 if column.higher_is_better else 1
        return sorted(known, key=lambda pair: sign * (pair[1].value or 0.0))

    def best(self, column: Column) -> str:
        """``kNN top-1: SimCLR 39.4 % [37.2, 41.6], ...``: a column's finding, in words."""
        named = [
            f"{method.title} {cell.text}{f' {cell.spread}' if cell.spread else ''}"
            for method, cell in self.ranked(column)[:BEST]
        ]
        return f"{column.heading}: {', '.join(named) or 'no number'}"

    def chance(self, column: Column) -> float | None:
        """What guessing gets, in percent, where the records tell how many classes there are.

        They do of the data set that the encoder was trained on.
        """
        first = next((e for e in self.of(column.evaluation) if e["status"] == "done"), None)
        if first is None or column.metric not in ("top1", "top5"):
            return None
        manifest = self.store.manifest(first["run"])
        trained = manifest.config.get("pretrain", {}).get("dataset", {}) if manifest else {}
        if trained.get("name") != first["dataset"]:
            return None
        level = json.loads(first["fingerprint"] or "{}").get("settings", {}).get("level", 0)
        levels = trained.get("levels", [])
        if not 0 <= level < len(levels):
            return None
        return min(100.0, 100.0 * int(column.metric[-1]) / int(levels[level]["classes"]))


def _by_family(rows: dict[str, list[Row]]) -> list[Entrant]:
    """The methods, those of a family together, in the survey's order of families."""
    one = shares_method(rows)
    titles = {label: some[0].title for label, some in rows.items() if label not in BASELINES}
    method = next(iter(titles.values()), "")
    found = [
        Entrant(
            label,
            title,
            "method",
            "" if one else str(rows[label][0].card.get("family") or "other"),
            title.removeprefix(f"{method}, ") if one else title,
        )
        for label, title in titles.items()
    ]
    families = [*FAMILIES, *dict.fromkeys(method.family for method in found)]
    return sorted(found, key=lambda method: families.index(method.family))


def in_words(value: float, column: Column) -> str:
    """A number of a column with its unit."""
    text = written(value, digits_of(column, value))
    return f"{text} {column.unit}".strip()


def costs(scores: Scores) -> Column:
    """Device hours of pre-training."""
    return scores.column(PRETRAIN, "device_hours")
