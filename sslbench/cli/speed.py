"""``sslbench speed``: how fast this machine does the work, and how fast others do the same."""

import shlex
from typing import Annotated

import typer

from sslbench.cli.options import RESULTS, ResultsOption, split_list


def speed(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Cases, such as knn training_moco. Default: all of them."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option("--against", help="Comma-separated peers to time as well: lightly, solo."),
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="Name the cases and what each compares.")
    ] = False,
    results: ResultsOption = RESULTS,
) -> None:
    """Time the parts of the suite on this machine, all sides taking turns in one run.

    A ratio is taken round by round; its median comes with its range. Case after case is written
    to RESULTS/speed, so an interrupted call keeps what it has measured; a record of an earlier
    call is replaced.
    """
    from rich.console import Console

    from sslbench.disk import write_text
    from sslbench.environment import environment, pick_device
    from sslbench.speed.cases import CASES, Setup, case, check_peers
    from sslbench.speed.measurement import SpeedRecord, write_record
    from sslbench.speed.table import comparisons, markdown, terminal
    from sslbench.store import Store, now

    console = Console()
    if list_:
        for name in CASES:
            console.print(f"{name:20s} {case(name).about}", highlight=False, markup=False)
        return
    peers = tuple(split_list(against)) if against is not None else ()
    versions = check_peers(peers)
    chosen = [case(name) for name in dict.fromkeys(names or CASES)]
    Store(results).check_writable()
    words = ["sslbench", "speed", *(names or [])]
    words += ["--against", ",".join(peers)] if peers else []
    path = results / "speed" / "speed.json"
    page = path.with_suffix(".md")
    measured = {}
    with console.status("") as status:
        for number, one in enumerate(chosen, start=1):

            def report(text: str, title: str = f"[{number}/{len(chosen)}] {one.name}") -> None:
                status.update(f"{title}: {text}")

            measured[one.name] = one.measure(Setup(peers, report))
            record = SpeedRecord(
                command=shlex.join(words),
                created=now(),
                environment=environment(pick_device("cpu")),
                peers=versions,
                measurements=measured,
            )
            write_record(path, record)
            write_text(page, markdown(record))
            write_text(page.with_stem("comparisons"), comparisons(record))
            console.print(terminal(one.name, measured[one.name]), highlight=False)
    console.print(f"Written: {path} and {page}", highlight=False, markup=False, soft_wrap=True)
