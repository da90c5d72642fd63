"""What ``--dry-run`` prints: every stage, done or to do, its resolved protocol, missing data."""

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from sslbench.config import flatten
from sslbench.data.datasets import check_dataset
from sslbench.plan import Planned
from sslbench.runner import Runner
from sslbench.stages import Stage
from sslbench.store import Store


class _Silent:
    def stage(self, title: str, number: int, of: int) -> None: ...

    def update(self, done: int, total: int, note: str) -> None: ...

    def finished(self, message: str) -> None: ...


def print_plan(
    console: Console, store: Store, plan: Sequence[Planned], data_root: Path | None
) -> None:
    """The plan in three parts: runs, protocols, data."""
    runner = Runner(
        store,
        data_root=data_root,
        download=False,
        device=torch.device("cpu"),
        workers=0,
        watcher=_Silent(),
    )
    table = Table(title="Plan", title_justify="left", box=None, pad_edge=False)
    keys = list(dict.fromkeys(k for p in plan for k in (*p.evaluations, *p.skipped)))
    for column in ("run", "seed", "images", "epochs", "steps", "pre-training", *keys):
        table.add_column(column)
    for planned in plan:
        data = planned.data
        cells = [_evaluation(runner, planned, key) for key in keys]
        table.add_row(
            planned.label,
            str(planned.config.seed),
            f"{data.images:,}",
            str(data.epochs),
            f"{data.steps:,}",
            _state(runner, Stage(planned, None)),
            *cells,
        )
    console.print(table)
    for planned in plan:
        for key, reason in planned.skipped.items():
            console.print(f"  {planned.label} {key}: skipped, {reason}", highlight=False)
    console.print("\nProtocols", style="bold")
    seen = set()
    for planned in plan:
        for key, wanted in planned.evaluations.items():
            if (key, wanted.hash) in seen:
                continue
            seen.add((key, wanted.hash))
            looks = wanted.preprocessing
            console.print(
                f"  {key}: {wanted.evaluation} on {wanted.dataset.name}, images {looks.image_size} "
                f"px, centre crop {looks.crop_fraction:.3f}, {looks.filter}",
                highlight=False,
            )
            settings = ", ".join(f"{k} = {v}" for k, v in flatten(wanted.settings).items())
            console.print(f"    {settings}", highlight=False, markup=False)
    print_data(console, plan, data_root)


def _evaluation(runner: Runner, planned: Planned, key: str) -> str:
    """Empty where a study wants it of other rows only."""
    if key in planned.evaluations:
        return _state(runner, Stage(planned, key))
    return "skipped" if key in planned.skipped else ""


def _state(runner: Runner, stage: Stage) -> str:
    return "done" if runner.is_done(stage) else "to do"


def print_data(console: Console, plan: Sequence[Planned], data_root: Path | None) -> None:
    """Each data set of the plan, and what of it is missing where."""
    console.print("\nData", style="bold")
    specs = {}
    for planned in plan:
        specs[planned.config.pretrain.dataset.name] = planned.config.pretrain.dataset
        for wanted in planned.evaluations.values():
            specs[wanted.dataset.name] = wanted.dataset
    for name, spec in specs.items():
        faults = check_dataset(spec, data_root)
        console.print(f"  {name}: {'found' if not faults else 'MISSING'}", highlight=False)
        for fault in faults:
            console.print(f"    {fault}", highlight=False, markup=False)
