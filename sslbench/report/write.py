"""Tables of a suite, from its plan and its records into ``tables/SUITE/``."""

import json
from collections.abc import Sequence
from pathlib import Path

from sslbench.config import build
from sslbench.disk import write_text
from sslbench.errors import StoreError
from sslbench.report.frame import frame
from sslbench.report.grid import Table
from sslbench.report.picture import write_figure
from sslbench.report.reported import read_reported
from sslbench.report.tables import build_table
from sslbench.spreads import SpreadReader
from sslbench.store import PlanFile, Store, plain_name
from sslbench.study import command_of
from sslbench.suite import TableConfig

FIGURE_VERSION = 2  # bumped by hand when figures change, so that older ones are drawn again


def tables(store: Store, suite: str, reported: Path | None = None) -> list[Table]:
    """Every table of a suite, in the suite's order; ``reported`` is the folder of quoted numbers.

    Raises StoreError if the suite has not been run into this results folder, or as ``frame`` and
    ``build_table`` do.
    """
    plan = planned_suite(store, suite)
    numbers = frame(store, plan)
    quoted = read_reported(reported)
    reader = SpreadReader(store)
    return [
        build_table(numbers, plan, name, table_config(plan, name), reader, quoted)
        for name in plan.tables
    ]


def write_tables(store: Store, tables: Sequence[Table]) -> list[Path]:
    """Writes tables of one suite in every format; returns the files, those of a table together.

    A figure is drawn only if the table's numbers are not those it was last drawn from.
    Raises StoreError if the folder cannot be written.
    """
    return [path for table in tables for path in _write(table, store.table_folder(table.suite))]


def planned_suite(store: Store, suite: str) -> PlanFile:
    """What a suite's last run consisted of. Raises StoreError if there was none."""
    plan = store.plan(suite)
    if plan is None:
        raise StoreError(
            f"suite {suite!r} has not been run into {store.root}: there is no "
            f"{store.table_folder(suite) / 'plan.json'}. `{command_of(suite)}` makes it"
        )
    if not plan.rows or not plan.tables:
        raise StoreError(f"the plan of suite {suite!r} in {store.root} has no rows or no tables")
    return plan


def table_config(plan: PlanFile, name: str) -> TableConfig:
    """What a table of a plan shows. Raises ConfigError for a wrong key."""
    return build(TableConfig, plan.tables[name], f"table {name!r} of suite {plan.suite!r}")


def notations(table: Table) -> dict[str, str]:
    """A table as text in every format, by the ending of its file."""
    return {
        "md": table.to_markdown(),
        "csv": table.to_csv(),
        "tex": table.to_latex(),
        "html": table.to_html(),
        "json": _json(table),
    }


def _write(table: Table, folder: Path) -> list[Path]:
    plain_name(table.name)
    texts = notations(table)
    paths = {ending: folder / f"{table.name}.{ending}" for ending in texts}
    # Published numbers alone have neither intervals nor one protocol: there is nothing to draw.
    endings = ("png", "svg") if table.is_measured else ()
    figures = [folder / f"{table.name}.{ending}" for ending in endings]
    ranks = [folder / f"{table.name}-ranks.{ending}" for ending in ("png", "svg")]
    # Before the JSON is written: it says what the figures were drawn from.
    drawn = figures + (ranks if table.ranking is not None else [])
    if drawn and not (all(map(Path.is_file, drawn)) and _holds(paths["json"], texts["json"])):
        # Half a second, and often not needed.
        from sslbench.report.heat_map import draw_matrix
        from sslbench.report.plots import draw

        drawer = draw_matrix if table.matrix else draw
        write_figure(lambda png, svg: drawer(table, png, svg), *figures)
        if table.ranking is not None:
            from sslbench.report.diagram import draw_ranking

            ranking = table.ranking
            write_figure(lambda png, svg: draw_ranking(ranking, png, svg), *ranks)
    if table.ranking is None:
        for path in ranks:  # of an earlier plan
            path.unlink(missing_ok=True)
    for ending, text in texts.items():
        write_text(paths[ending], text)
    return [*paths.values(), *drawn]


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def _json(table: Table) -> str:
    tree = {**table.to_dict(), "figure_version": FIGURE_VERSION}
    return json.dumps(tree, indent=1, sort_keys=True, allow_nan=False) + "\n"
