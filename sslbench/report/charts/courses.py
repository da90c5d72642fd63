"""A line per row over what an evaluation was set to: what charts against k or layer share."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from sslbench.report.cells import Entry
from sslbench.report.charts.scores import BEST, Entrant, Scores
from sslbench.report.charts.styles import LINES, Sheet, reference_handles, shared_out
from sslbench.report.grid import Cell, Column
from sslbench.report.plots import DASHES, GREY, short

MOST = 5  # lines of a panel; all others stand behind them
ACROSS = 3
LETTERS = 26
AT_K = re.compile(r"(.+)_k(\d+)")  # a score at one of several k: top1_k20


@dataclass(frozen=True)
class Axis:
    """What scores are drawn against."""

    name: str
    places: tuple[float, ...]  # ascending
    labels: tuple[str, ...]
    log: bool = False


@dataclass(frozen=True)
class Course:
    """A row's scores, in the order of the axis."""

    row: Entrant
    cells: tuple[Cell, ...]

    @property
    def values(self) -> list[float]:
        return [float("nan") if cell.value is None else cell.value for cell in self.cells]

    @property
    def best(self) -> int:
        """At which place the score is highest."""
        known = [n for n, cell in enumerate(self.cells) if cell.value is not None]
        return max(known, key=lambda n: self.cells[n].value or 0.0)


def at_k(scores: Scores, setting: str) -> dict[str, dict[int, Column]]:
    """By evaluation, the column of every k, of those whose k is a setting of that name.

    They are of the headline, or of the first metric that has a k, at two k or more.
    """
    found = {
        column.evaluation: _at_k(scores, column)
        for column in scores.columns
        if any(setting in _settings(entry) for entry in scores.of(column.evaluation))
    }
    return {key: columns for key, columns in found.items() if len(columns) > 1}


def _settings(entry: Entry) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(entry["fingerprint"] or "{}").get("settings", {})
    return settings


def _at_k(scores: Scores, column: Column) -> dict[int, Column]:
    metrics = dict.fromkeys(e["metric"] for e in scores.of(column.evaluation) if e["metric"])
    matched = [found for found in map(AT_K.fullmatch, metrics) if found]
    if not matched:
        return {}
    stems = [found[1] for found in matched]
    stem = column.metric if column.metric in stems else stems[0]
    at = {int(found[2]): found[0] for found in matched if found[1] == stem}
    return {k: replace(column, metric=at[k]) for k in sorted(at)}


def courses(scores: Scores, columns: Sequence[Column]) -> list[Course]:
    """Of all rows with a number, methods first."""
    found = [
        Course(row, tuple(scores.cell(row.label, column) for column in columns))
        for row in (*scores.methods, *scores.baselines)
    ]
    return [one for one in found if any(cell.value is not None for cell in one.cells)]


def methods_of(found: Sequence[Course]) -> list[Course]:
    return [one for one in found if one.row.kind == "method"]


def highest(methods: Sequence[Course], labels: Sequence[str]) -> str:
    """The best rows and where they are so, in words; ``labels`` name the places."""
    leading = sorted(methods, key=lambda one: -(one.cells[one.best].value or 0.0))[:BEST]
    return ", ".join(
        f"{one.row.title} {one.cells[one.best].text} at {labels[one.best]}" for one in leading
    )


def in_panels(methods: Sequence[Course]) -> str:
    """What a caption says of the intervals, and of the panels where there are several."""
    split = (
        ", the methods over several panels, in each the others in pale grey"
        if len(methods) > MOST
        else ""
    )
    return f"with 95 % intervals{split}. Baselines beyond the methods' range are left out."


def figure(axis: Axis, column: Column, found: Sequence[Course]) -> Figure:
    """The methods' lines, over as many panels as they need, with the baselines' behind them."""
    methods = methods_of(found)
    panels = shared_out(methods, MOST)
    values = [
        v for one in methods for c in one.cells for v in (c.value, c.low, c.high) if v is not None
    ]
    margin = 0.05 * (max(values) - min(values)) or 1.0
    low, high = min(values) - margin, max(values) + margin
    # Methods are not squeezed for the sake of baselines.
    others = [one for one in found if one.row.kind != "method"]
    baselines = [one for one in others if all(low < v < high for v in one.values)]
    alone = len(panels) == 1
    sheet = Sheet(
        count=len(panels),
        across=2 if len(panels) in (2, 4) else ACROSS,
        width=3.4 if alone else 2.4,
        height=2.4 if alone else 1.9,
        above=0.12 + 0.165 * max(map(len, panels)),
        handles=tuple(reference_handles([one.row for one in baselines])),
    )
    drawn = sheet.figure()
    for number, some in enumerate(panels):
        axes = sheet.panel(drawn, number)
        if axis.log:
            axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(axis.places))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FixedFormatter(axis.labels))
        axes.set_ylim(low, high)
        behind = [list(zip(axis.places, one.values, strict=True)) for one in methods]
        axes.add_collection(LineCollection(behind, colors="#D9D9D9", linewidths=0.8, zorder=1))
        for one in baselines:
            dash = DASHES[one.row.kind]
            axes.plot(axis.places, one.values, color=GREY, linestyle=dash, lw=1.2, zorder=2)
        handles = [_line(axes, axis.places, one, place) for place, one in enumerate(some)]
        # Above the panel, where no line can be under it.
        axes.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=(0, 1),
            frameon=False,
            borderpad=0,
            borderaxespad=0.3,
            labelspacing=0.25,
            handlelength=2.4,
        )
        if sheet.is_first(number):
            axes.set_ylabel(column.unit or "value")
        if sheet.is_lowest(number):
            axes.set_xlabel(axis.name)
    return drawn


def _line(axes: Axes, places: Sequence[float], one: Course, place: int) -> Line2D:
    colour, marker, dash = LINES[place]
    known = [
        (at, cell.low, cell.high)
        for at, cell in zip(places, one.cells, strict=True)
        if cell.low is not None and cell.high is not None
    ]
    if known:
        at, low, high = zip(*known, strict=True)
        axes.fill_between(at, low, high, color=colour, alpha=0.15, lw=0, zorder=2)
    (line,) = axes.plot(
        places, one.values, color=colour, marker=marker, ms=4, linestyle=dash, lw=1.5, zorder=4
    )
    line.set_label(short(one.row.name, LETTERS))
    return line
