"""``sslbench run``: does whatever of a suite has no record yet, then shows its table."""

import shlex
from functools import partial
from typing import Annotated

import typer

from sslbench.cli.options import (
    RESULTS,
    DataOption,
    DeviceOption,
    DownloadOption,
    MethodsOption,
    ResultsOption,
    SeedsOption,
    SetOption,
    SuiteOption,
    WorkersOption,
    data_root,
    worker_count,
)
from sslbench.suite import DEFAULT_SUITE


def run(
    suite: SuiteOption = DEFAULT_SUITE,
    methods: MethodsOption = None,
    seeds: SeedsOption = None,
    set_: SetOption = None,
    results: ResultsOption = RESULTS,
    data: DataOption = None,
    download: DownloadOption = False,
    device: DeviceOption = "auto",
    workers: WorkersOption = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the plan and what data is missing; run nothing."),
    ] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first failed stage.")
    ] = False,
) -> None:
    """Train every method of a suite, evaluate it, and print the comparison table.

    What has a record is not done again: interrupt and repeat the command at will.
    """
    from rich.console import Console

    from sslbench.cli.ending import ended
    from sslbench.cli.planning import planned, slow_precision
    from sslbench.cli.progress import ProgressWatcher
    from sslbench.cli.signals import stop_signals
    from sslbench.environment import pick_device
    from sslbench.runner import Runner
    from sslbench.stages import rows
    from sslbench.store import PlanFile, Store

    console = Console()
    place = pick_device(device)
    root = data_root(data)
    loaded, plan = planned(suite, methods, seeds, set_ or [], root, place)
    console.print(loaded.title, style="bold", highlight=False, markup=False)
    if loaded.about:
        console.print(loaded.about, highlight=False, markup=False)
    slow = slow_precision(plan, place)
    if slow is not None:
        console.print(slow, style="yellow", highlight=False, markup=False)
    store = Store(results)
    if dry_run:
        from sslbench.cli.dryrun import print_plan

        print_plan(console, store, plan, root)
        return
    count = worker_count(workers, partial(console.print, style="yellow", highlight=False))
    with stop_signals() as stopped, ProgressWatcher(console) as watcher:
        runner = Runner(
            store,
            data_root=root,
            download=download,
            device=place,
            workers=count,
            watcher=watcher,
            stopped=stopped,
            fail_fast=fail_fast,
        )
        runner.check(plan)
        # Written first, so that an interrupted call can already be tabulated.
        store.write_plan(
            PlanFile(
                suite=loaded.name,
                title=loaded.title,
                command=_command(suite, methods, seeds, set_ or [], root is not None),
                rows=rows(plan),
                tables={key: value.model_dump(mode="json") for key, value in loaded.tables.items()},
            )
        )
        tally = runner.run(plan)
    ended(console, store, loaded.name, tally)


def _command(
    suite: str, methods: str | None, seeds: str | None, changes: list[str], data: bool
) -> str:
    """What anyone would type to make the same table: no folder of this machine."""
    words = ["sslbench", "run", "--suite", suite]
    for option, value in (("--methods", methods), ("--seeds", seeds)):
        if value is not None:
            words += [option, value]
    for change in changes:
        words += ["--set", change]
    return shlex.join(words) + (" --data DIR" if data else "")
