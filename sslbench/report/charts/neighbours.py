"""Scores against the number of neighbours that vote, where an evaluation measured several."""

from dataclasses import asdict

from sslbench.report.charts.courses import (
    Axis,
    at_k,
    courses,
    figure,
    highest,
    in_panels,
    methods_of,
)
from sslbench.report.charts.scores import Scores
from sslbench.report.charts.styles import made
from sslbench.report.grid import Column
from sslbench.report.picture import Picture

TITLE = "kNN against k"


def neighbours(scores: Scores) -> tuple[list[Picture], list[str]]:
    """A picture per evaluation with scores at two k or more."""
    found = at_k(scores, "neighbours")
    if not found:
        return [], [f"{TITLE}: no evaluation was measured with several numbers of neighbours."]
    pictures = [
        _picture(scores, columns, "neighbours" if len(found) == 1 else f"neighbours-{key}")
        for key, columns in found.items()
    ]
    return [picture for picture in pictures if picture is not None], []


def _picture(scores: Scores, columns: dict[int, Column], name: str) -> Picture | None:
    found = courses(scores, list(columns.values()))
    methods = methods_of(found)
    if not methods:
        return None
    ks, column = list(columns), next(iter(columns.values()))
    fall = [one.row.title for one in methods if one.best == 0 and one.cells[0].value is not None]
    axis = Axis("neighbours k", tuple(ks), tuple(f"{k:,}" for k in ks), log=True)
    return made(
        name=name,
        title=f"{TITLE}: {column.title}" if column.title else TITLE,
        caption=(
            f"Score against the number of neighbours that vote, {in_panels(methods)} Which k "
            "stands in the tables was fixed before anything was measured."
        ),
        alternative=f"Highest: {highest(methods, [f'k = {k}' for k in ks])}. The smallest k is the "
        f"best for {len(fall)} of {len(methods)} methods.",
        drawn={"ks": ks, "column": asdict(column), "courses": [asdict(one) for one in found]},
        draw=lambda: figure(axis, column, found),
    )
