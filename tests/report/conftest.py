"""A results folder filled with records that no one had to train for."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sslbench.config import fingerprint
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


@dataclass
class Experiment:
    """Builds a plan and its records bit by bit."""

    store: Store
    rows: list[Row] = field(default_factory=list)

    def row(
        self,
        label: str,
        scores: dict[str, float | tuple[float, float, float]] | None = None,
        seed: int = 0,
        *,
        metric: str = "top1",
        settings: dict[str, Any] | None = None,
        failed: str | None = None,
        trained: bool = True,
        pretrain: dict[str, Any] | None = None,
        **facts: Any,
    ) -> Row:
        """A row with a manifest and a record per score; a score may have its interval."""
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
        value: float | tuple[float, float, float],
        metric: str = "top1",
        settings: dict[str, Any] | None = None,
    ) -> None:
        facts = {"evaluation": PLUGINS[key], "settings": settings or {"k": 20}}
        interval = None
        if isinstance(value, tuple):
            value, low, high = value
            interval = Interval(low=low, high=high, method="bootstrap over 2000 test images")
        score = Score(value=value, unit="%", higher_is_better=True, interval=interval, n=2000)
        record = Record(
            run=row.run,
            evaluation=PLUGINS[key],
            dataset=DATASETS[key],
            identity="0",
            status="done",
            scores={metric: score},
            headline=metric,
            fingerprint=facts,
            fingerprint_sha256=fingerprint(facts),
            environment=ENVIRONMENT,
        )
        self.store.write_record(row.evaluations[key], record)

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
