"""How ``run`` and ``evaluate`` end: what was done, the tables, what failed."""

import sys
from typing import TYPE_CHECKING

import typer

from sslbench.cli.table import show_tables

if TYPE_CHECKING:
    from rich.console import Console

    from sslbench.examine import Tally
    from sslbench.store import Store


def ended(console: "Console", store: "Store", suite: str, tally: "Tally") -> None:
    """Shows the tables. Raises Exit with code 1 if a stage failed."""
    if not tally.done and not tally.failures:
        console.print(f"Nothing to do: all {tally.already} stages have their records.")
    show_tables(console, store, suite)
    if tally.failures:
        print(f"sslbench: {len(tally.failures)} stages failed:", file=sys.stderr)
        for failure in tally.failures:
            print(f"  - {failure}", file=sys.stderr)
        raise typer.Exit(1)
