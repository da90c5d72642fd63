"""``sslbench table``: the tables of a suite again, from its records and from nothing else."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sslbench.cli.options import RESULTS, ResultsOption
from sslbench.suite import DEFAULT_SUITE

if TYPE_CHECKING:
    from rich.console import Console

    from sslbench.store import Store


def table(
    suite: Annotated[
        str, typer.Argument(help="The suite; 'reported': tables of published numbers alone.")
    ] = DEFAULT_SUITE,
    results: ResultsOption = RESULTS,
) -> None:
    """Rebuild and print a suite's tables: Markdown, CSV, LaTeX, HTML and a chart."""
    from rich.console import Console

    from sslbench.store import Store

    show_tables(Console(), Store(results), suite)


def reported_folder() -> Path | None:
    """results/reported of a checkout; an installed package has none."""
    folder = Path(str(files("sslbench"))).parent / "results" / "reported"
    return folder if folder.is_dir() else None


def show_tables(console: "Console", store: "Store", suite: str) -> None:
    """Writes all tables of a suite and prints them with their paths."""
    from sslbench.report.quoted_tables import REPORTED, quoted_tables
    from sslbench.report.write import tables, write_tables

    folder = reported_folder()
    built = quoted_tables(folder) if suite == REPORTED else tables(store, suite, folder)
    for table in built:
        console.print(table.to_rich())
    for path in write_tables(store, built):
        console.print(f"  {path}", style="dim", highlight=False, markup=False)
    plan = None if suite == REPORTED else store.plan(suite)
    if plan is not None and plan.study is not None:
        from sslbench.report.ablations import write_ablation_pictures

        for path in write_ablation_pictures(store, plan, built):
            console.print(f"  {path}", style="dim", highlight=False, markup=False)
