"""Tables of a suite, from its plan and its records into ``tables/SUITE/``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sslbench.config import build
from sslbench.errors import StoreError
from sslbench.report.frame import frame
from sslbench.report.grid import Table
from sslbench.report.reported import read_reported
from sslbench.report.tables import build_table
from sslbench.store import PlanFile, Store, write_atomic
from sslbench.suite import TableConfig

FIGURE_VERSION = 1  # bumped by hand when figures change, so that older ones are drawn again


def tables(
    store: Store, suite: str, reported: Path | None = None, mixed: bool = False
) -> list[Table]:
    """Every table of a suite, in the suite's order; ``reported`` is the folder of quoted numbers.

    Raises StoreError if the suite has not been run into this results folder, or as ``frame`` and
    ``build_table`` do.
    """
    plan = _plan(store, suite)
    numbers = frame(store, plan)
    quoted = read_reported(reported)
    return [
        build_table(numbers, plan, name, _config(plan, name, tree), quoted, mixed)
        for name, tree in plan.tables.items()
    ]


def write_tables(
    store: Store, suite: str, reported: Path | None = None, mixed: bool = False
) -> list[Path]:
    """Writes every table of a suite in every format; returns the files, those of a table together.

    A figure is drawn only if the table's numbers are not those it was last drawn from.
    Raises what ``tables`` raises, and StoreError if the folder cannot be written.
    """
    folder = store.table_folder(suite)
    return [
        path for table in tables(store, suite, reported, mixed) for path in _write(table, folder)
    ]


def _plan(store: Store, suite: str) -> PlanFile:
    plan = store.plan(suite)
    if plan is None:
        raise StoreError(
            f"suite {suite!r} has not been run into {store.root}: there is no "
            f"{store.table_folder(suite) / 'plan.json'}. `sslbench run --suite {suite}` makes it"
        )
    if not plan.rows or not plan.tables:
        raise StoreError(f"the plan of suite {suite!r} in {store.root} has no rows or no tables")
    return plan


def _config(plan: PlanFile, name: str, tree: Any) -> TableConfig:
    return build(TableConfig, tree, f"table {name!r} of suite {plan.suite!r}")


def _write(table: Table, folder: Path) -> list[Path]:
    paths = {e: folder / f"{table.name}.{e}" for e in ("md", "csv", "tex", "json", "png", "svg")}
    values = _json(table)
    # Before the JSON is written: it says what the figure was drawn from.
    if not _is_drawn(paths, values):
        _draw(table, paths["png"], paths["svg"])
    texts = {
        "md": table.to_markdown(),
        "csv": table.to_csv(),
        "tex": table.to_latex(),
        "json": values,
    }
    for ending, text in texts.items():
        write_atomic(paths[ending], _writer(text))
    return list(paths.values())


def _is_drawn(paths: dict[str, Path], values: str) -> bool:
    if not all(paths[ending].is_file() for ending in ("json", "png", "svg")):
        return False
    return paths["json"].read_text(encoding="utf-8") == values


def _draw(table: Table, png: Path, svg: Path) -> None:
    from sslbench.report.plots import draw  # half a second, and often not needed

    def both(temporary: Path) -> None:
        write_atomic(svg, lambda second: draw(table, temporary, second))

    write_atomic(png, both)


def _json(table: Table) -> str:
    tree = {**table.to_dict(), "figure_version": FIGURE_VERSION}
    return json.dumps(tree, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _writer(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_text(text, encoding="utf-8", newline="\n")

    return write
