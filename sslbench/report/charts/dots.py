"""All methods over all evaluations: a dot and an interval each, a panel per evaluation."""

from collections.abc import Sequence
from dataclasses import asdict

from matplotlib.figure import Figure

from sslbench.report.charts.scores import Entrant, Scores
from sslbench.report.charts.styles import (
    Sheet,
    made,
    measured,
    numbered,
    reference_handles,
    shared_out,
)
from sslbench.report.grid import Cell, Column
from sslbench.report.picture import Picture
from sslbench.report.plots import DASHES, GREY, LETTER, draw_column, short

ACROSS = 4  # panels side by side
ONE_PAGE = 24  # rows; with more, panels that would stand below have a picture of their own
ROW = 0.2  # inches


def dots(scores: Scores) -> tuple[list[Picture], list[str]]:
    """One picture, or one per row of panels where there are many methods."""
    if not scores.columns or not scores.methods:
        return [], ["All methods over all evaluations: no method has a score yet."]
    most = len(scores.columns) if len(scores.methods) <= ONE_PAGE else ACROSS
    pictures = []
    for number, columns in enumerate(shared_out(scores.columns, most)):
        pictures.append(_picture(scores, columns, number))
    return pictures, []


def _picture(scores: Scores, columns: Sequence[Column], number: int) -> Picture:
    methods, baselines = list(scores.methods), list(scores.baselines)
    cells = [[scores.cell(m.label, column) for m in methods] for column in columns]
    marks = [[scores.value(b.label, column) for b in baselines] for column in columns]
    single = all(len(cell.seeds) <= 1 for some in cells for cell in some)
    families = len({method.family for method in methods}) > 1
    return made(
        name=numbered("methods", number),
        title="All methods over all evaluations",
        caption=(
            "A row per method"
            + (", those of one family together" if families else "")
            + ", a panel per evaluation: mean"
            + (" of one seed" if single else " over seeds")
            + " and 95 % interval. "
            + (
                "With one seed an interval speaks of this run on other test images. "
                if single
                else ""
            )
            + "Each panel has its own scale, which does not begin at zero."
        ),
        alternative="The best of each evaluation. "
        + "; ".join(scores.best(column) for column in columns)
        + ".",
        drawn={
            "rows": [asdict(one) for one in (*methods, *baselines)],
            "columns": [asdict(column) for column in columns],
            "cells": [[asdict(cell) for cell in some] for some in cells],
            "references": marks,
        },
        draw=lambda: figure(methods, baselines, columns, cells, marks),
    )


def figure(
    methods: Sequence[Entrant],
    baselines: Sequence[Entrant],
    columns: Sequence[Column],
    cells: Sequence[Sequence[Cell]],
    marks: Sequence[Sequence[float | None]],
) -> Figure:
    """cells and marks: for each column those of the methods, and the values of the baselines."""
    places, ticks, headings = _places(methods)
    down = -(-len(columns) // ACROSS)
    rows = max(len(ticks), 2)
    spread = any(cell.low is not None for some in cells for cell in some)
    sheet = Sheet(
        count=len(columns),
        across=-(-len(columns) // down),
        width=1.45,
        height=ROW * rows,
        left=0.12,
        right=0.5,
        margin=0.15 + LETTER * max(len(text) for text in ticks.values()),
        handles=(measured(spread, marker="o", ms=3.8), *reference_handles(baselines)),
    )
    drawn = sheet.figure()
    for number, column in enumerate(columns):
        axes = sheet.panel(drawn, number)
        axes.grid(visible=False)
        draw_column(axes, column, dict(zip(places, cells[number], strict=True)))
        axes.set_title(short(column.title, 24))
        if column.peeks:
            axes.set_xlabel(f"{axes.get_xlabel()}, best on test")
        for one, value in zip(baselines, marks[number], strict=True):
            if value is not None:
                axes.axvline(value, color=GREY, linestyle=DASHES[one.kind], lw=1.2, zorder=2)
                axes.update_datalim([(value, 0)], updatey=False)
        axes.autoscale_view(scaley=False)  # a margin beside the baselines, too
        axes.set_ylim(rows - 0.5, -0.5)
        names = list(ticks.values()) if sheet.is_first(number) else [""] * len(ticks)
        axes.set_yticks(list(ticks), names)
        for place, tick in zip(ticks, axes.get_yticklabels(), strict=True):
            if place in headings:
                tick.set(color="#5A5A5A", fontstyle="italic")
    return drawn


def _places(methods: Sequence[Entrant]) -> tuple[list[int], dict[int, str], set[int]]:
    """The height of each method, the text at every height, and which of them name a family."""
    titled = len({method.family for method in methods}) > 1
    places: list[int] = []
    ticks: dict[int, str] = {}
    headings: set[int] = set()
    family = None
    for method in methods:
        if titled and method.family != family:
            family = method.family
            headings.add(len(ticks))
            ticks[len(ticks)] = short(family)
        places.append(len(ticks))
        ticks[len(ticks)] = short(method.title)
    return places, ticks, headings
