"""From a plan to its records and tables: what ``run`` and ``ablate`` have in common."""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from sslbench import distributed
from sslbench.cli.ending import ended
from sslbench.cli.options import worker_count
from sslbench.cli.planning import slow_precision
from sslbench.cli.progress import ProgressWatcher
from sslbench.cli.signals import stop_signals
from sslbench.cluster import Cluster, joined, run_on
from sslbench.examine import Tally
from sslbench.following import together
from sslbench.plan import Planned
from sslbench.runner import Runner
from sslbench.store import PlanFile, Store
from sslbench.train.tracker import check_tracker


def execute(
    console: Console,
    store: Store,
    plan: Sequence[Planned],
    file: PlanFile,
    *,
    data_root: Path | None,
    download: bool,
    device: torch.device,
    workers: int | None,
    dry_run: bool,
    fail_fast: bool,
    tracker: str | None,
    cluster: Cluster | None = None,
) -> None:
    """Does what has no record yet and shows the tables of ``file``; or only prints the plan.

    Raises Exit with code 1 if a stage failed, or an SSLBenchError before anything is run.
    """
    if tracker is not None:
        check_tracker(tracker)
    slow = slow_precision(plan, device)
    if slow is not None:
        console.print(slow, style="yellow", highlight=False, markup=False)
    if dry_run:
        from sslbench.cli.dryrun import print_plan

        print_plan(console, store, plan, data_root)
        return
    count = worker_count(workers, partial(console.print, style="yellow", highlight=False))
    with (
        joined(cluster) if cluster is not None else nullcontext(),
        distributed.group(device) as place,
        stop_signals() as stopped,
        ProgressWatcher(console) as watcher,
    ):
        runner = Runner(
            store,
            data_root=data_root,
            download=download,
            device=place,
            workers=count,
            watcher=watcher,
            stopped=stopped,
            fail_fast=fail_fast,
            tracker=tracker,
        )

        def lead() -> Tally:
            # Written first, so that an interrupted call can already be tabulated.
            store.write_plan(file)
            if cluster is not None:
                return run_on(cluster, runner, plan, watcher, stopped)
            return runner.run(plan)

        tally = together(runner, plan, lead)
    if tally is not None:
        ended(console, store, file.suite, tally)
