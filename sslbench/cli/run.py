"""``sslbench run``: does whatever of a suite has no record yet, then shows its table."""

from sslbench.cli.options import (
    RESULTS,
    AddressOption,
    CpusOption,
    DataOption,
    DeviceOption,
    DownloadOption,
    DryRunOption,
    ExecutorOption,
    FailFastOption,
    GpusOption,
    MethodsOption,
    ResultsOption,
    SeedsOption,
    SetOption,
    SuiteOption,
    TrackerOption,
    WorkersOption,
    cluster_of,
    command_line,
    data_root,
)
from sslbench.launch import is_speaker
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
    dry_run: DryRunOption = False,
    fail_fast: FailFastOption = False,
    tracker: TrackerOption = None,
    executor: ExecutorOption = None,
    address: AddressOption = None,
    gpus_per_run: GpusOption = 0.0,
    cpus_per_run: CpusOption = 1,
) -> None:
    """Train every method of a suite, evaluate it, and print the comparison table.

    What has a record is not done again: interrupt and repeat the command at will.
    """
    from rich.console import Console

    from sslbench.cli.execution import execute
    from sslbench.cli.planning import planned
    from sslbench.environment import pick_device
    from sslbench.stages import rows
    from sslbench.store import PlanFile, Store

    console = Console(quiet=not is_speaker())
    cluster = cluster_of(executor, address, gpus_per_run, cpus_per_run, device, fail_fast)
    place = pick_device("cpu" if cluster is not None and not gpus_per_run else device)
    unknown = gpus_per_run > 0 and place.type != "cuda"
    root = data_root(data)
    loaded, plan = planned(suite, methods, seeds, set_ or [], root, None if unknown else place)
    console.print(loaded.title, style="bold", highlight=False, markup=False)
    if loaded.about:
        console.print(loaded.about, highlight=False, markup=False)
    file = PlanFile(
        suite=loaded.name,
        title=loaded.title,
        command=command_line(
            ["run", "--suite", suite],
            [("--methods", methods), ("--seeds", seeds), *(("--set", c) for c in set_ or [])],
            data=root is not None,
        ),
        rows=rows(plan),
        tables={key: value.model_dump(mode="json") for key, value in loaded.tables.items()},
    )
    execute(
        console,
        Store(results),
        plan,
        file,
        data_root=root,
        download=download,
        device=place,
        workers=workers,
        dry_run=dry_run,
        fail_fast=fail_fast,
        tracker=tracker,
        cluster=cluster,
    )
