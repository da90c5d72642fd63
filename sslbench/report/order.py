"""Which row of a table stands where, and from which row the others differ."""

from collections.abc import Mapping

from sslbench.errors import ConfigError
from sslbench.report.describe import shares_method, word
from sslbench.report.grid import Kind
from sslbench.run import BASELINES
from sslbench.store import PlanFile, Row


def kind_of(label: str) -> Kind:
    if label == "random":
        return "random"
    return "supervised" if label == "supervised" else "method"


def by_label(plan: PlanFile) -> dict[str, list[Row]]:
    """The plan's rows in their order, by label: a row per seed."""
    rows: dict[str, list[Row]] = {}
    for row in plan.rows:
        rows.setdefault(row.label, []).append(row)
    return rows


def in_order(plan: PlanFile, group: str) -> dict[str, list[Row]]:
    """The plan's rows by label, a row per seed: random, the methods as planned, supervised.

    Methods of one group stand together, the groups in the order of their first method.
    """
    rows = by_label(plan)
    groups = list(dict.fromkeys(group_of(row, group) for row in plan.rows if is_method(row.label)))

    def place(label: str) -> tuple[int, int]:
        grouped = groups.index(group_of(rows[label][0], group)) if is_method(label) else 0
        return ("random", "method", "supervised").index(kind_of(label)), grouped

    return {label: rows[label] for label in sorted(rows, key=place)}


def is_method(label: str) -> bool:
    return label not in BASELINES


def group_of(row: Row, key: str) -> str:
    """What the card says of a row; rows of which it says nothing stand together, too."""
    return word(row.card[key]) if row.card.get(key) is not None else "other"


def reference_of(rows: Mapping[str, list[Row]], table: str, against: str) -> str:
    """The label of the row from which others say their difference, or "" if there is none."""
    if against and against not in rows:
        known = ", ".join(rows)
        raise ConfigError(f"table {table!r}: against: no row {against!r}. Rows: {known}")
    if against or not shares_method(rows):
        return against
    return next(filter(is_method, rows))
