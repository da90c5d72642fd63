"""``sslbench evaluate``: released weights under a suite's evaluations, as a row of its table."""

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sslbench.cli.options import (
    RESULTS,
    DataOption,
    DeviceOption,
    DownloadOption,
    ResultsOption,
    SeedsOption,
    SetOption,
    SuiteOption,
    WorkersOption,
    data_root,
    worker_count,
)
from sslbench.errors import ConfigError
from sslbench.launch import is_launched
from sslbench.suite import DEFAULT_SUITE

if TYPE_CHECKING:
    from rich.console import Console

    from sslbench.foreign import Foreign


def evaluate(
    weights: Annotated[
        Path,
        typer.Option("--weights", "-w", help="A .pth, .pt, .tar, .ckpt or .safetensors file."),
    ],
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", help="timm's name of it, as it stands. Default: the suite's."),
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            "--prefix", help="Which network of the file, such as encoder_k. Default: found."
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--label",
            help="Its row in the table; hcsc or moco@v1 takes that method's title and published "
            "numbers. Default: the file's name.",
        ),
    ] = None,
    suite: SuiteOption = DEFAULT_SUITE,
    seeds: SeedsOption = None,
    set_: SetOption = None,
    results: ResultsOption = RESULTS,
    data: DataOption = None,
    download: DownloadOption = False,
    device: DeviceOption = "auto",
    workers: WorkersOption = None,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing", help="Accept a file with less than 99 % of the encoder's tensors."
        ),
    ] = False,
) -> None:
    """Evaluate released weights with every evaluation of a suite, and put them in its table.

    The file is read without running code in it, and the encoder in it is found by itself. Any
    checkpoint of MoCo, SwAV, DINO, torchvision, lightly and their like will do.
    """
    from rich.console import Console

    from sslbench.cli.ending import ended
    from sslbench.cli.planning import parse_seeds
    from sslbench.cli.progress import ProgressWatcher
    from sslbench.cli.signals import stop_signals
    from sslbench.config import assignments
    from sslbench.environment import pick_device
    from sslbench.examine import Examiner
    from sslbench.foreign import changed, keep, take_up
    from sslbench.sharing import table_locked
    from sslbench.store import PlanFile, Store
    from sslbench.suite import load_suite
    from sslbench.weights import default_label, joined

    if is_launched():
        raise ConfigError("sslbench evaluate uses one process: start it without torchrun")
    console = Console()
    place = pick_device(device)
    root = data_root(data)
    changes = assignments(set_ or [])
    loaded, config, size = changed(load_suite(suite), encoder, changes)
    name = default_label(weights.name) if label is None else label
    chosen = list(loaded.seeds) if seeds is None else parse_seeds(seeds)
    foreign = take_up(
        weights, name, loaded, config, size, chosen, prefix=prefix, allow_missing=allow_missing
    )
    _say(console, foreign)
    store = Store(results)
    options = {"--prefix": prefix, "--seeds": seeds, "--encoder": encoder}
    command = _command(weights.name, name, suite, options, set_ or [], allow_missing, root)

    def plan() -> PlanFile:
        before, identity = store.plan(loaded.name), foreign.configs[0]
        return joined(before, loaded, foreign.rows(), identity, command, changes)

    plan()  # with its faults, before anything is done
    count = worker_count(workers, partial(console.print, style="yellow", highlight=False))
    with stop_signals() as stopped, ProgressWatcher(console) as watcher:
        examiner = Examiner(
            store,
            data_root=root,
            download=download,
            device=place,
            workers=count,
            watcher=watcher,
            stopped=stopped,
        )
        work = foreign.examinations()
        examiner.check(
            [one.wanted.dataset for one in work if not examiner.is_done(one.run, one.wanted)]
        )
        keep(store, foreign, examiner.environment)
        # Written first, so that an interrupted call can already be tabulated; made anew, for
        # another call may have added its rows meanwhile.
        with table_locked(store, loaded.name):
            store.write_plan(plan())
        tally = examiner.run(work)
    ended(console, store, loaded.name, tally)


def _say(console: "Console", foreign: "Foreign") -> None:
    """What of the file was taken, and what not."""
    adopted, source = foreign.adopted, foreign.source
    lines = [
        f"{source.file}: {adopted.encoder.config.name} under {source.prefix!r} ({source.layout})",
        f"  loaded {adopted.loaded} of {adopted.total} tensors",
    ]
    for title, names in (("missing", adopted.missing), ("unexpected", adopted.unexpected)):
        shown = ", ".join(names[:6]) + (" ..." if len(names) > 6 else "")
        lines.append(f"  {title} {len(names)}" + (f": {shown}" if names else ""))
    if adopted.elsewhere:
        lines.append(f"  elsewhere in the file {adopted.elsewhere}, not used")
    if adopted.others:
        lines.append(f"  other networks that fit: {', '.join(adopted.others)}  (see --prefix)")
    lines += [f"  {key}: skipped, {reason}" for key, reason in foreign.skipped.items()]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _command(
    file: str,
    label: str,
    suite: str,
    options: dict[str, str | None],
    changes: list[str],
    allow_missing: bool,
    root: Path | None,
) -> str:
    """What anyone would type to make the same row: no folder of this machine."""
    words = ["sslbench", "evaluate", "--weights", file, "--label", label, "--suite", suite]
    for option, value in options.items():
        if value is not None:
            words += [option, value]
    for change in changes:
        words += ["--set", change]
    words += ["--allow-missing"] if allow_missing else []
    return shlex.join(words) + (" --data DIR" if root is not None else "")
