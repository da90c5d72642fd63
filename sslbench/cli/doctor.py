"""``sslbench doctor``: what this machine has, and whether a results folder is what it should be."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from sslbench.cli.options import RESULTS, DataOption, ResultsOption, data_root

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from sslbench.doctor.findings import Finding
    from sslbench.doctor.machine import Fact


def doctor(
    results: ResultsOption = RESULTS,
    data: DataOption = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Remove what is proven to be of no use: torn checkpoints, files of killed "
            "processes, outcomes without a record.",
        ),
    ] = False,
) -> None:
    """Check this machine, the data sets and a results folder; exit with 1 if it has faults."""
    from rich.console import Console

    from sslbench.doctor.findings import mend
    from sslbench.doctor.folder import examine
    from sslbench.doctor.machine import data_sets, machine
    from sslbench.store import Store

    console = Console()
    _facts(console, "This machine", machine(results))
    _facts(console, "Data sets", data_sets(data_root(data)))
    if not results.is_dir():
        _line(console, f"No results in {results} yet: sslbench run puts them there.")
        return
    console.print(f"Results in {results}", style="bold", highlight=False, markup=False)
    left, gone = [], 0
    with _bar(console) as bar:
        runs = bar.add_task("runs", total=None)
        for finding in examine(Store(results), partial(_look, bar, runs)):
            _line(console, _said(finding))
            if finding.kind == "note":
                continue
            if not repair or not finding.is_mendable:
                left.append(finding)
                continue
            for path in mend(finding):
                _line(console, f"  removed {path}")
                gone += 1
    if repair:
        _line(console, f"{gone} files removed.")
    mendable = sum(one.is_mendable for one in left)
    hint = f", {mendable} of which --repair removes" if mendable else ""
    _line(console, f"{len(left)} faults{hint}." if left else "No faults.")
    if left:
        raise typer.Exit(1)


def _bar(console: "Console") -> "Progress":
    """How far it is, on a terminal: digests of large files take a while."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("  {task.description}", BarColumn(24), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _look(bar: "Progress", runs: "TaskID", done: int, of: int) -> None:
    bar.update(runs, completed=done, total=of)


def _said(finding: "Finding") -> str:
    path = str(finding.path)
    what = finding.what if path in finding.what else f"{path}: {finding.what}"
    return f"  {finding.kind}: {what}" + (f". {finding.advice}" if finding.advice else "")


def _facts(console: "Console", title: str, facts: "list[Fact]") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    table.show_header = False
    table.pad_edge = False
    for fact in facts:
        table.add_row(Text(f"  {fact.name}"), Text(fact.value), Text(fact.remark, style="dim"))
    console.print(table)


def _line(console: "Console", text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
