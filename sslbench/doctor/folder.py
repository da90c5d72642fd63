"""A whole results folder: its runs, its features, and what its tables still miss."""

import time
from collections.abc import Callable, Iterator

from sslbench.doctor.findings import Finding
from sslbench.doctor.runs import examine_runs
from sslbench.errors import StoreError
from sslbench.feature_files import ABANDONED, feature_files
from sslbench.store import Store


def examine(
    store: Store, looked: Callable[[int, int], None] = lambda done, of: None
) -> Iterator[Finding]:
    """All findings, as they are made; ``looked`` hears how many of how many runs are done."""
    yield from examine_runs(store, looked)
    yield from _features(store)
    yield from _tables(store)


def _features(store: Store) -> Iterator[Finding]:
    for file in feature_files(store.features_folder):
        if file.fault:
            advice = "They are computed anew"
            yield Finding("fault", file.path, file.fault, advice, remove=(file.path,))
        elif file.is_unfinished and time.time() - file.used > ABANDONED:
            yield Finding("note", file.path, "begun and not finished", "The same command goes on")


def _tables(store: Store) -> Iterator[Finding]:
    for path in sorted((store.root / "tables").glob("*/plan.json")):
        suite = path.parent.name
        try:
            plan = store.plan(suite)
            assert plan is not None
            stages = [
                (row.run, name) for row in plan.rows for name in (None, *row.evaluations.values())
            ]
            missing = sum(_is_missing(store, run, name) for run, name in stages)
        except StoreError as error:
            yield Finding("fault", path, str(error))
            continue
        if missing:
            what = f"{missing} of {len(stages)} stages of suite {suite} have no record"
            yield Finding("note", path, what, plan.command)


def _is_missing(store: Store, run: str, evaluation: str | None) -> bool:
    try:
        if evaluation is None:
            return store.manifest(run) is None
        return store.record(run, evaluation) is None
    except StoreError:  # told where the run is looked at
        return False
