"""Options that several commands share, and what they mean."""

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sslbench.errors import ConfigError

if TYPE_CHECKING:
    from sslbench.cluster import Cluster

RESULTS = Path("results/local")

SuiteOption = Annotated[
    str, typer.Option("--suite", "-s", help="A suite's name (see list), or a .yaml file.")
]
MethodsOption = Annotated[
    str | None,
    typer.Option(
        "--methods",
        "-m",
        help="Comma-separated: hcsc,pcl  moco@v1 (a variant)  'hcsc@*' (all variants)  all. "
        "Default: the suite's.",
    ),
]
SeedsOption = Annotated[
    str | None,
    typer.Option("--seeds", help="Comma-separated, such as 0,1,2. Default: the suite's."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="KEY=VALUE over everything else, such as pretrain.epochs=5; may be repeated.",
    ),
]
ResultsOption = Annotated[
    Path, typer.Option("--results", help="Where runs, records and tables are kept.")
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="The folder that holds the data sets. Default: $SSLBENCH_DATA."),
]
DownloadOption = Annotated[
    bool, typer.Option("--download", help="Download data sets that are missing.")
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=0,
        help="Processes that decode images; 0: the command's own. Default and most: cores.",
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps ...")]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Print the plan and what data is missing; run nothing."),
]
FailFastOption = Annotated[
    bool, typer.Option("--fail-fast", help="Stop at the first failed stage.")
]

ExecutorOption = Annotated[
    str | None,
    typer.Option("--executor", help="ray: runs as tasks of a Ray cluster. Default: one by one."),
]
AddressOption = Annotated[
    str | None,
    typer.Option("--address", help="Of a running Ray cluster. Default: this machine alone."),
]
GpusOption = Annotated[
    float,
    typer.Option(
        "--gpus-per-run",
        min=0.0,
        help="With --executor: a fraction to share one, 1, or several, a rank on each.",
    ),
]
CpusOption = Annotated[
    int, typer.Option("--cpus-per-run", min=1, help="With --executor: cores, shared by its ranks.")
]

TrackerOption = Annotated[
    str | None,
    typer.Option(
        "--tracker",
        help="tensorboard: event files of what is trained, in events/ of each run's folder.",
    ),
]


def cluster_of(
    executor: str | None, address: str | None, gpus: float, cpus: int, device: str, fail_fast: bool
) -> "Cluster | None":
    """The cluster that runs go to, if any. Raises ConfigError for options that do not fit."""
    if executor is None:
        if address is not None or gpus or cpus != 1:
            raise ConfigError("--address, --gpus-per-run and --cpus-per-run go with --executor ray")
        return None
    if executor != "ray":
        raise ConfigError(f"--executor {executor}: expected ray")
    if device != "auto":
        raise ConfigError(
            f"--device {device}: with --executor ray a run takes what its node gives it. GPUs are "
            "asked for with --gpus-per-run"
        )
    if fail_fast:
        raise ConfigError(
            "--fail-fast: with --executor ray runs go on side by side, and one does not end others"
        )
    from sslbench.cluster import Cluster

    return Cluster(address, gpus, cpus)


def data_root(given: Path | None) -> Path | None:
    """``--data``, or what SSLBENCH_DATA names."""
    if given is not None:
        return given
    named = os.environ.get("SSLBENCH_DATA")
    return Path(named) if named else None


def worker_count(given: int | None, say: Callable[[str], None]) -> int:
    """``--workers``, at most as many as this process may use cores, which changes no result.

    ``say`` is told where that is fewer than ``given``.
    """
    # What a scheduler or container left to this process, where the system tells.
    allowed = getattr(os, "sched_getaffinity", None)
    cores = len(allowed(0)) if allowed is not None else os.cpu_count() or 1
    if given is None or given <= cores:
        return cores if given is None else given
    say(
        f"--workers {given}: {cores} are used, as many as there are cores. More would take each "
        "other's time and memory; results are the same"
    )
    return cores


def command_line(
    words: Sequence[str], options: Sequence[tuple[str, str | None]], *, data: bool
) -> str:
    """What anyone would type to make the same table: no folder of this machine."""
    given = [word for name, value in options if value is not None for word in (name, value)]
    return shlex.join(["sslbench", *words, *given]) + (" --data DIR" if data else "")


def split_list(text: str) -> list[str]:
    """Comma-separated names."""
    return [part.strip() for part in text.split(",") if part.strip()]
