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
    suite: Annotated[str, typer.Argument(help="The suite.")] = DEFAULT_SUITE,
    results: ResultsOption = RESULTS,
) -> None:
    """Rebuild and print a suite's tables: Markdown, CSV, LaTeX and a chart."""
    from rich.console import Console

    from sslbench.store import Store

    show_tables(Console(), Store(results), suite)


def reported_folder() -> Path | None:
    """results/reported of a checkout; an installed package has none."""
    folder = Path(str(files("sslbench"))).parent / "results" / "reported"
    return folder if folder.is_dir() else None


def show_tables(console: "Console", store: "Store", suite: str) -> None:
    """Writes all tables of a suite and prints them with their paths."""
    from sslbench.report.write import tables, write_tables

    built = tables(store, suite, reported_folder())
    for table in built:
        console.print(table.to_rich())
    for path in write_tables(store, built):
        console.print(f"  {path}", style="dim", highlight=False, markup=False)
