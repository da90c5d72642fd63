"""Scores against the number of labelled images of a class, where an evaluation learnt from few."""

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

TITLE = "Scores against labels"


def shots(scores: Scores) -> tuple[list[Picture], list[str]]:
    """A picture per evaluation that was given several numbers of labels."""
    found = at_k(scores, "shots")
    if not found:
        return [], [f"{TITLE}: no evaluation learnt from several numbers of labels."]
    pictures = [
        _picture(scores, columns, "shots" if len(found) == 1 else f"shots-{key}")
        for key, columns in found.items()
    ]
    return [picture for picture in pictures if picture is not None], []


def _picture(scores: Scores, columns: dict[int, Column], name: str) -> Picture | None:
    found = courses(scores, list(columns.values()))
    methods = methods_of(found)
    if not methods:
        return None
    ks, column = list(columns), next(iter(columns.values()))
    axis = Axis("labelled images of a class", tuple(ks), tuple(f"{k:,}" for k in ks), log=True)
    return made(
        name=name,
        title=f"{TITLE}: {column.title}" if column.title else TITLE,
        caption=(
            "Score against the number k of labelled images of each class that a classifier learnt "
            f"from, {in_panels(methods)}"
        ),
        alternative=f"Highest: {highest(methods, [f'k = {k}' for k in ks])}.",
        drawn={"ks": ks, "column": asdict(column), "courses": [asdict(one) for one in found]},
        draw=lambda: figure(axis, column, found),
    )
