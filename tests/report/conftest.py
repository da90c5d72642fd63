"""A results folder filled with records that no one had to train for."""

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sslbench.config import build, fingerprint
from sslbench.health.verdict import Health
from sslbench.report.frame import frame
from sslbench.report.grid import Cell, Line, Table
from sslbench.report.reported import FIELDS
from sslbench.report.tables import build_table
from sslbench.spreads import ENDING, SpreadReader, write_spreads
from sslbench.stats.spread import Spread
from sslbench.store import (
    Environment,
    Failure,
    Interval,
    Manifest,
    PlanFile,
    Record,
    Row,
    Score,
    Store,
)
from sslbench.suite import TableConfig

ENVIRONMENT = Environment(
    sslbench="0.1.0",
    commit="0123456789ab",
    python="3.11.7",
    packages={},
    machine="Example CPU, 2 cores",
    device="cpu",
    threads=2,
)
COLUMNS = {"kNN top-1": "knn.top1", "Linear top-1": "linear.top1"}
DATASETS = {"knn": "shapes", "linear": "shapes"}
PLUGINS = {"knn": "knn", "linear": "linear_probe"}

Value = float | tuple[float, float, float] | np.ndarray


@dataclass
class Experiment:
    """Builds a plan and its records bit by bit."""

    store: Store
    rows: list[Row] = field(default_factory=list)

    @staticmethod
    def answers(percent: float, items: int = 2000) -> np.ndarray:
        """Items of which about so many percent are right, the same ones first for every row."""
        return 100.0 * (np.arange(items) < round(items * percent / 100))

    @staticmethod
    def health(verdict: str) -> Health:
        return Health(verdict=verdict)

    def row(
        self,
        label: str,
        scores: dict[str, Value] | None = None,
        seed: int = 0,
        *,
        metric: str = "top1",
        settings: dict[str, Any] | None = None,
        failed: str | None = None,
        trained: bool = True,
        pretrain: dict[str, Any] | None = None,
        **facts: Any,
    ) -> Row:
        """A row with a manifest and a record per score; a score may have its interval.

        A score may also be an array: what each test item counts, of which it is the mean.
        """
        run = f"{label.partition('@')[0]}-resnet18-s{seed}-{fingerprint(label)[:16]}"
        keys = [key for key in PLUGINS if key not in facts.get("skipped", {})]
        names = {key: f"{PLUGINS[key]}-{DATASETS[key]}-0123456789abcdef" for key in keys}
        row = Row(
            label=label,
            seed=seed,
            run=run,
            title=facts.pop("title", label),
            evaluations=names,
            **facts,
        )
        self.rows.append(row)
        if trained:
            self._manifest(run, failed, pretrain or {})
        for key, value in (scores or {}).items():
            self.record(row, key, value, metric, settings)
        return row

    def _manifest(self, run: str, failed: str | None, facts: dict[str, Any]) -> None:
        failure = (
            Failure(kind="Diverged", message=f"Diverged at step 7: {failed}") if failed else None
        )
        manifest = Manifest(
            run=run,
            hash=run,
            config={"encoder": {"name": "resnet18"}, "pretrain": {"epochs": 200}},
            status="failed" if failed else "done",
            failure=failure,
            environment=ENVIRONMENT,
            **facts,
        )
        self.store.write_manifest(manifest)

    def record(
        self,
        row: Row,
        key: str,
        value: Value,
        metric: str = "top1",
        settings: dict[str, Any] | None = None,
        selection: str = "none",
        chosen: dict[str, Any] | None = None,
    ) -> None:
        facts = {"evaluation": PLUGINS[key], "settings": settings or {"k": 20}}
        facts["selection"] = selection
        interval = None
        if isinstance(value, tuple):
            value, low, high = value
            interval = Interval(low=low, high=high, method="bootstrap over 2000 test images")
        items = value if isinstance(value, np.ndarray) else self.answers(value)
        value = float(items.mean()) if isinstance(value, np.ndarray) else value
        score = Score(value=value, unit="%", higher_is_better=True, interval=interval, n=len(items))
        name = row.evaluations[key]
        path = self.store.evaluation_file(row.run, name, ENDING)
        digest = write_spreads(path, {metric: Spread(value, items, "items")})
        record = Record(
            run=row.run,
            evaluation=PLUGINS[key],
            dataset=DATASETS[key],
            identity="0123456789abcdef",
            status="done",
            scores={metric: score},
            headline=metric,
            fingerprint=facts,
            fingerprint_sha256=fingerprint(facts),
            spread_sha256=digest,
            chosen=chosen or {},
            environment=ENVIRONMENT,
        )
        self.store.write_record(name, record)

    def table(self, **config: Any) -> Table:
        """The table of all rows so far."""
        plan = self.plan(**config)
        made = build(TableConfig, plan.tables["main"], "main")
        reader = SpreadReader(self.store)
        return build_table(frame(self.store, plan), plan, "main", made, reader)

    @staticmethod
    def line(found: Table, label: str) -> Line:
        return next(one for one in found.lines if one.label == label)

    @staticmethod
    def knn(found: Table, label: str) -> Cell:
        """The first cell of a row."""
        return Experiment.line(found, label).cells[0]

    @staticmethod
    def notes(found: Table, marked: Cell | Line) -> list[str]:
        return [found.footnotes[mark - 1] for mark in marked.marks]

    def plan(self, **table: Any) -> PlanFile:
        """The plan of all rows so far, with one table ``main``; written to the store, too."""
        plan = PlanFile(
            suite="tiny",
            title="Tiny",
            command="sslbench run --suite tiny",
            rows=tuple(self.rows),
            tables={"main": {"columns": COLUMNS, **table}},
        )
        self.store.write_plan(plan)
        return plan


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return Experiment(Store(tmp_path / "results"))


@pytest.fixture
def quoted_row() -> Callable[..., Path]:
    """Writes a folder of quoted numbers: one of MoCo, with some fields changed."""
    known = {
        "method": "moco",
        "title": "MoCo v2",
        "encoder": "resnet50",
        "data": "imagenet",
        "epochs": "200",
        "batch": "256",
        "evaluation": "knn/shapes",
        "metric": "top1",
        "value": "67.5",
        "origin": "original",
        "source": "arXiv:1 Table 2",
    }

    def write(folder: Path, *rows: dict[str, str]) -> Path:
        texts = [{**dict.fromkeys(FIELDS, ""), **known, **row} for row in rows or ({},)]
        path = folder / "reported"
        path.mkdir(exist_ok=True)
        with (path / "all.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(texts)
        return path

    return write
