"""The tables of a large results folder, from records that no one had to train for."""

import shutil
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sslbench.config import fingerprint
from sslbench.report.grid import Table
from sslbench.report.write import tables, write_tables
from sslbench.speed.cases import Setup
from sslbench.speed.measurement import Measurement
from sslbench.speed.timing import Side, alternated, figure
from sslbench.spreads import ENDING, write_spreads
from sslbench.stats.spread import Spread
from sslbench.store import Interval, Manifest, PlanFile, Record, Row, Score, Store

SUITE = "made_up"


@dataclass(frozen=True)
class Tables:
    """Methods x seeds x evaluations, of one metric each."""

    name: str = "tables"
    about: str = "the tables of a suite of many records, read, compared and written"
    methods: int = 20
    seeds: int = 5
    evaluations: int = 4
    items: int = 10_000  # test images behind a score
    rounds: int = 5

    def sides(self, setup: Setup) -> list[Side]:
        folder = Path(tempfile.mkdtemp())
        store = Store(folder)
        fill(store, self)

        def build() -> list[Table]:
            built = tables(store, SUITE)
            for table in built:
                table.to_rich()
            write_tables(store, built)
            return built

        weakref.finalize(build, shutil.rmtree, folder)  # when no side holds it any more
        return [Side("tables", build)]

    def measure(self, setup: Setup) -> Measurement:
        seconds = alternated(self.sides(setup), self.rounds, setup.report)
        count = self.methods * self.seeds * self.evaluations
        return Measurement(
            title=f"Tables of {count:,} records: methods {self.methods}, seeds {self.seeds}, "
            f"evaluations {self.evaluations}, test images {self.items:,}",
            unit="s",
            rounds=self.rounds,
            figures={name: figure(values) for name, values in seconds.items()},
            ratios={},
            note="Figures are drawn in the warm-up and not again while no number changes.",
        )


def fill(store: Store, size: Tables) -> None:
    """Writes manifests, records, what their intervals are made of, and the plan."""
    draws = np.random.default_rng(0)
    keys = [f"probe{number}" for number in range(size.evaluations)]
    names = {key: f"{key}-shapes-{fingerprint(key)[:16]}" for key in keys}
    rows = []
    for method in range(size.methods):
        for seed in range(size.seeds):
            label = f"method{method}"
            run = f"{label}-resnet18-s{seed}-{fingerprint(label)[:16]}"
            rows.append(Row(label=label, seed=seed, run=run, title=label, evaluations=names))
            config = {"encoder": {"name": "resnet18"}, "pretrain": {"epochs": 200}}
            store.write_manifest(Manifest(run=run, hash=run, config=config, status="done"))
            for key in keys:
                right = draws.random(size.items) < 0.5 + 0.01 * method
                _record(store, run, key, names[key], np.where(right, 100.0, 0.0))
    columns = {f"{key} top-1": f"{key}.top1" for key in keys}
    plan = PlanFile(
        suite=SUITE,
        title="Made up",
        command="sslbench speed tables",
        rows=tuple(rows),
        tables={"main": {"columns": columns}},
    )
    store.write_plan(plan)


def _record(store: Store, run: str, key: str, name: str, items: NDArray[np.float64]) -> None:
    value = float(items.mean())
    interval = Interval(low=value - 1, high=value + 1, method="made up")
    facts = {"evaluation": key, "settings": {"k": 20}}
    path = store.evaluation_file(run, name, ENDING)
    digest = write_spreads(path, {"top1": Spread(value, items, "items")})
    score = Score(value=value, unit="%", higher_is_better=True, interval=interval, n=len(items))
    record = Record(
        run=run,
        evaluation=key,
        dataset="shapes",
        identity=fingerprint(key),
        status="done",
        scores={"top1": score},
        headline="top1",
        fingerprint=facts,
        fingerprint_sha256=fingerprint(facts),
        spread_sha256=digest,
    )
    store.write_record(name, record)


TABLES = Tables()
