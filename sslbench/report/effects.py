"""One factor at a time: by how much every row differs from the base, with its interval.

A filled dot is a difference whose interval leaves out 0, an open one is not told apart from it.
"""

from collections.abc import Sequence
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from sslbench.report.cells import digits_of
from sslbench.report.grid import Cell, Column, Line, Table
from sslbench.report.places import apart, signed
from sslbench.report.plots import BLUE, GREY, INK, abreast, panelled, short
from sslbench.report.remarks import has_scores

ROW, PANEL = 0.24, 1.95  # inches: a row's height, a panel's width
NAME = 34  # letters
Place = tuple[float, Line | str]  # a row's height, and the row or the name of its group


def telling(table: Table) -> list[int]:
    """The columns of scores, in which there is something to compare."""
    lines = [line for line in table.lines if line.kind == "method"]
    return [
        number
        for number, column in enumerate(table.columns)
        if has_scores(column) and any(line.cells[number].difference for line in lines)
    ]


def effects(table: Table, base: str) -> Figure:
    """A panel per score, a row per level, below the name of its factor."""
    shown = telling(table)
    places = _places([line for line in table.lines if line.kind == "method" and line.label != base])
    own = next(line for line in table.lines if line.label == base)
    rows = max(y for y, _ in places) + 1
    longest = max(len(_name(what)) for _, what in places)
    margin = 0.35 + 0.068 * longest
    across = abreast(len(shown))
    size = (PANEL, 0.8 + ROW * rows)
    figure, panels = panelled(len(shown), across, size, margin, 0.4, sharey=True)
    for axes, number in zip(panels, shown, strict=True):
        _panel(axes, table.columns[number], own.cells[number], places, number)
    panels[0].set_ylim(rows - 0.4, -0.7)
    panels[0].set_yticks([y for y, _ in places], [_name(what) for _, what in places])
    for axes in panels[::across]:  # the others of a row share these names
        for tick, (_, what) in zip(axes.get_yticklabels(), places, strict=True):
            tick.set_fontweight("bold" if isinstance(what, str) else "normal")
    _legend(figure)
    return figure


def _places(lines: Sequence[Line]) -> list[Place]:
    """Rows from above, half a row free above each group's name."""
    places: list[Place] = []
    y = 0.0
    for group, some in groupby(lines, lambda line: line.group):
        if group:
            places.append((y, group))
            y += 0.9
        for line in some:
            places.append((y, line))
            y += 1
        y += 0.35
    return places


def _name(what: Line | str) -> str:
    """A level without its factor, which stands above it."""
    if isinstance(what, str):
        return short(what, NAME)
    title = what.title.removeprefix(f"{what.group}: ") if what.group else what.title
    return short(title, NAME)


def _panel(axes: Axes, column: Column, own: Cell, places: Sequence[Place], number: int) -> None:
    axes.set_title(short(column.title, 30))
    unit = "points" if column.unit == "%" else column.unit or "value"
    better = "" if column.higher_is_better else ", less is better"
    axes.set_xlabel(f"{unit} from {own.text}{better}")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    axes.grid(axis="x", color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.axvline(0, color=INK, linewidth=0.9, zorder=2)
    digits = digits_of(column, own.value or 0.0)
    for y, what in places:
        if isinstance(what, str):
            continue
        axes.axhline(y, color="#F0F0F0", linewidth=0.6, zorder=0)
        cell = what.cells[number]
        change = cell.difference
        text = cell.text if change is None else signed(change.value, digits)
        if change is not None:
            if change.low is not None and change.high is not None:
                axes.plot([change.low, change.high], [y, y], color=BLUE, linewidth=1.6, zorder=3)
            face = BLUE if apart(change) else "#FFFFFF"
            axes.plot(change.value, y, "o", color=BLUE, mfc=face, ms=4.2, zorder=4)
        axes.annotate(
            text,
            (1.0, y),
            xycoords=axes.get_yaxis_transform(),
            xytext=(2, 0),
            textcoords="offset points",
            va="center",
            color=INK if change is not None else GREY,
        )
    axes.margins(x=0.08)


def _legend(figure: Figure) -> None:
    handles = [
        Line2D([], [], color=BLUE, marker="o", ms=4.2, lw=1.6, label="told apart from the base"),
        Line2D([], [], color=BLUE, marker="o", mfc="#FFFFFF", ms=4.2, lw=1.6, label="not"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
