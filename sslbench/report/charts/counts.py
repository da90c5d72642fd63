"""Scores against a number k, where an evaluation measured several: of neighbours, or of labels."""

from dataclasses import asdict, dataclass

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


@dataclass(frozen=True)
class Counted:
    """What k is a number of."""

    name: str  # in the metrics of an evaluation, and of the pictures
    title: str
    axis: str
    what: str  # "Score against ..."
    remark: str  # the end of the caption
    none: str  # why there is no picture


NEIGHBOURS = Counted(
    "neighbours",
    "kNN against k",
    "neighbours k",
    "the number of neighbours that vote",
    " Which k stands in the tables was fixed before anything was measured.",
    "no evaluation was measured with several numbers of neighbours.",
)
SHOTS = Counted(
    "shots",
    "Scores against labels",
    "labelled images of a class",
    "the number k of labelled images of each class that a classifier learnt from",
    "",
    "no evaluation learnt from several numbers of labels.",
)


def counts(scores: Scores, counted: Counted) -> tuple[list[Picture], list[str]]:
    """A picture per evaluation with scores at two k or more."""
    name = counted.name
    found = at_k(scores, name)
    if not found:
        return [], [f"{counted.title}: {counted.none}"]
    pictures = [
        _picture(scores, counted, columns, name if len(found) == 1 else f"{name}-{key}")
        for key, columns in found.items()
    ]
    return [picture for picture in pictures if picture is not None], []


def _picture(
    scores: Scores, counted: Counted, columns: dict[int, Column], name: str
) -> Picture | None:
    found = courses(scores, list(columns.values()))
    methods = methods_of(found)
    if not methods:
        return None
    ks, column = list(columns), next(iter(columns.values()))
    fall = [one.row.title for one in methods if one.best == 0 and one.cells[0].value is not None]
    axis = Axis(counted.axis, tuple(ks), tuple(f"{k:,}" for k in ks), log=True)
    return made(
        name=name,
        title=f"{counted.title}: {column.title}" if column.title else counted.title,
        caption=f"Score against {counted.what}, {in_panels(methods)}{counted.remark}",
        alternative=f"Highest: {highest(methods, [f'k = {k}' for k in ks])}. The smallest k is the "
        f"best for {len(fall)} of {len(methods)} methods.",
        drawn={"ks": ks, "column": asdict(column), "courses": [asdict(one) for one in found]},
        draw=lambda: figure(axis, column, found),
    )
