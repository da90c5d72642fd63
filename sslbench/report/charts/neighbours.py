"""Scores against the number of neighbours that vote, where an evaluation measured several."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from sslbench.report.charts.scores import BEST, Entrant, Scores
from sslbench.report.charts.styles import LINES, Sheet, made, reference_handles, shared_out
from sslbench.report.grid import Cell, Column
from sslbench.report.picture import Picture
from sslbench.report.plots import DASHES, GREY, short

TITLE = "kNN against k"
AT_K = re.compile(r"(.+)_k(\d+)")  # a score with so many neighbours: top1_k20
MOST = 5  # lines of a panel; all others stand behind them
ACROSS = 3
LETTERS = 26


@dataclass(frozen=True)
class Course:
    """A row's scores at each k, in the order of k."""

    row: Entrant
    cells: tuple[Cell, ...]

    @property
    def values(self) -> list[float]:
        return [float("nan") if cell.value is None else cell.value for cell in self.cells]

    @property
    def best(self) -> int:
        """Of which k the score is highest."""
        known = [n for n, cell in enumerate(self.cells) if cell.value is not None]
        return max(known, key=lambda n: self.cells[n].value or 0.0)


def neighbours(scores: Scores) -> tuple[list[Picture], list[str]]:
    """A picture per evaluation with scores at two k or more."""
    found = {column.evaluation: _at_k(scores, column) for column in scores.columns}
    found = {key: at_k for key, at_k in found.items() if len(at_k) > 1}
    if not found:
        return [], [f"{TITLE}: no evaluation was measured with several numbers of neighbours."]
    pictures = [
        _picture(scores, key, at_k, "neighbours" if len(found) == 1 else f"neighbours-{key}")
        for key, at_k in found.items()
    ]
    return [picture for picture in pictures if picture is not None], []


def _at_k(scores: Scores, column: Column) -> dict[int, Column]:
    """By k, its column: of the headline, or of the first metric that has a k."""
    metrics = dict.fromkeys(e["metric"] for e in scores.of(column.evaluation) if e["metric"])
    matched = [found for found in map(AT_K.fullmatch, metrics) if found]
    if not matched:
        return {}
    stems = [found[1] for found in matched]
    stem = column.metric if column.metric in stems else stems[0]
    at = {int(found[2]): found[0] for found in matched if found[1] == stem}
    return {k: replace(column, metric=at[k]) for k in sorted(at)}


def _picture(scores: Scores, evaluation: str, at_k: dict[int, Column], name: str) -> Picture | None:
    courses = [
        Course(row, tuple(scores.cell(row.label, column) for column in at_k.values()))
        for row in (*scores.methods, *scores.baselines)
    ]
    courses = [one for one in courses if any(cell.value is not None for cell in one.cells)]
    methods = [one for one in courses if one.row.kind == "method"]
    if not methods:
        return None
    ks, column = list(at_k), next(iter(at_k.values()))
    baselines = [one for one in courses if one.row.kind != "method"]
    leading = sorted(methods, key=lambda one: -(one.cells[one.best].value or 0.0))[:BEST]
    said = ", ".join(
        f"{one.row.title} {one.cells[one.best].text} at k = {ks[one.best]}" for one in leading
    )
    fall = [one.row.title for one in methods if one.best == 0 and one.cells[0].value is not None]
    split = len(methods) > MOST
    return made(
        name=name,
        title=f"{TITLE}: {column.title}" if column.title else TITLE,
        caption=(
            "Score against the number of neighbours that vote, with 95 % intervals"
            + (
                ", the methods over several panels, in each the others in pale grey"
                if split
                else ""
            )
            + ". Baselines beyond the methods' range are left out. Which k stands in the tables "
            "was fixed before anything was measured."
        ),
        alternative=f"Highest: {said}. The smallest k is the best for {len(fall)} of "
        f"{len(methods)} methods.",
        drawn={"ks": ks, "column": asdict(column), "courses": [asdict(one) for one in courses]},
        draw=lambda: figure(ks, column, methods, baselines),
    )


def figure(
    ks: Sequence[int], column: Column, methods: Sequence[Course], baselines: Sequence[Course]
) -> Figure:
    panels = shared_out(methods, MOST)
    values = [
        v for one in methods for c in one.cells for v in (c.value, c.low, c.high) if v is not None
    ]
    margin = 0.05 * (max(values) - min(values)) or 1.0
    low, high = min(values) - margin, max(values) + margin
    # Methods are not squeezed for the sake of baselines.
    baselines = [one for one in baselines if all(low < v < high for v in one.values)]
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
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(ks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:,.10g}")
        axes.set_ylim(low, high)
        behind = [list(zip(ks, one.values, strict=True)) for one in methods]
        axes.add_collection(LineCollection(behind, colors="#D9D9D9", linewidths=0.8, zorder=1))
        for one in baselines:
            axes.plot(ks, one.values, color=GREY, linestyle=DASHES[one.row.kind], lw=1.2, zorder=2)
        handles = [_line(axes, ks, one, place) for place, one in enumerate(some)]
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
            axes.set_xlabel("neighbours k")
    return drawn


def _line(axes: Axes, ks: Sequence[int], one: Course, place: int) -> Line2D:
    colour, marker, dash = LINES[place]
    known = [
        (k, cell.low, cell.high)
        for k, cell in zip(ks, one.cells, strict=True)
        if cell.low is not None and cell.high is not None
    ]
    if known:
        at, low, high = zip(*known, strict=True)
        axes.fill_between(at, low, high, color=colour, alpha=0.15, lw=0, zorder=2)
    (line,) = axes.plot(
        ks, one.values, color=colour, marker=marker, ms=4, linestyle=dash, lw=1.5, zorder=4
    )
    line.set_label(short(one.row.name, LETTERS))
    return line
