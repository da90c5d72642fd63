"""``sslbench report``: one page of suites, from their records and from nothing else."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sslbench.cli.options import RESULTS, DataOption, ResultsOption, data_root
from sslbench.cli.table import reported_folder

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.console import Console

    from sslbench.report.grid import Table
    from sslbench.report.picture import Picture
    from sslbench.store import PlanFile, Store

    Found = tuple[list[Picture], list[str]]  # and why others could not be made


def report(
    suites: Annotated[list[str], typer.Argument(metavar="SUITE...", help="Suites and studies.")],
    results: ResultsOption = RESULTS,
    data: DataOption = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Make no page: compute every cell again from the outcomes of single test images, "
            "and fail where one differs, or where a written table or page says otherwise.",
        ),
    ] = False,
) -> None:
    """Write one self-contained page: tables, pictures, settings, failures, where numbers come from.

    It is reports/NAME/index.html of the results folder. NAME: the suite, or several joined by +.
    """
    from rich.console import Console

    from sslbench.store import Store

    store = Store(results)
    if verify:
        _verify(Console(), store, suites)
        return
    from sslbench.report.page.build import write_report

    made = write_report(store, suites, partial(_pictures, data_root(data)), reported_folder())
    console = Console(highlight=False)
    for notice in made.notices:
        console.print(notice, style="yellow", markup=False, soft_wrap=True)
    console.print(str(made.path), markup=False, soft_wrap=True)


def _pictures(
    data: Path | None,
    store: "Store",
    plan: "PlanFile",
    numbers: "DataFrame",
    tables: "Sequence[Table]",
) -> "Found":
    from sslbench.report.ablations import ablation_pictures
    from sslbench.report.charts.all import charts

    drawn, why = charts(store, plan, numbers, tables)
    shown, why_not = _gallery(store, plan, data)
    return [*ablation_pictures(plan, tables), *drawn, *shown], [*why, *why_not]


def _gallery(store: "Store", plan: "PlanFile", data: Path | None) -> "Found":
    """Pictures that need encoders and images; torch is loaded only if there is an encoder."""
    runs = dict.fromkeys(row.run for row in plan.rows)
    if not any((store.run_folder(run) / "encoder.safetensors").is_file() for run in runs):
        return [], ["Kernels, feature maps and other looks into encoders: no encoder is kept here"]
    from sslbench.gallery import gallery

    return gallery(store, plan, data)


def _verify(console: "Console", store: "Store", suites: list[str]) -> None:
    """Raises Exit with code 1 if a cell is not what its outcomes give."""
    from sslbench.verify import verify

    found = [verify(store, suite, reported_folder()) for suite in suites]
    for one in found:
        console.print(
            f"{one.suite}: {one.cells} cells, {one.records} records computed again: "
            + ("all as given" if one.holds else "NOT as given"),
            highlight=False,
            markup=False,
        )
        for line in (*one.faults, *one.mismatches):
            print(f"  - {line}", file=sys.stderr)
    if not all(one.holds for one in found):
        raise typer.Exit(1)
