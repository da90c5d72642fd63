"""A table as a figure: a dot per method with its interval, a panel per column.

Colours of Okabe and Ito (2008), which colour-blind readers and grey printers keep apart; each also
has its own shape. Text is at least 8 points at the size in which the figure is made.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from sslbench.report.frame import PRETRAIN
from sslbench.report.grid import Cell, Column, Kind, Line, Table

BLUE, ORANGE, GREY, INK = "#0072B2", "#D55E00", "#8A8A8A", "#222222"
STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so it is the same everywhere
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "svg.hashsalt": "sslbench",  # otherwise element ids are random
}
DASHES: dict[Kind, Literal[":", "--"]] = {"random": ":", "supervised": "--"}
ACROSS = 3  # panels side by side
INCHES_PER_ROW, INCHES_PER_PANEL = 0.24, 2.0
LETTER = 0.066  # inches, about, of a letter


def draw(table: Table, png: Path, svg: Path) -> None:
    """Writes the figure in both formats, without the time or the program's version."""
    save(lambda: _figure(table), png, svg)


def save(figure: Callable[[], Figure], png: Path, svg: Path) -> None:
    """A figure made and saved in our style, in both formats: the same numbers, the same bytes."""
    with mpl.rc_context():
        mpl.rcdefaults()  # whatever the reader's own matplotlibrc says
        settings: Any = mpl.rcParams  # its stubs list every key, differently in each version
        settings.update(STYLE)
        made = figure()
        made.savefig(png, format="png", dpi=200, metadata={"Software": None})
        made.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})


def _figure(table: Table) -> Figure:
    own = [line for line in table.lines if line.kind != "reported"]
    methods = [line for line in own if line.kind == "method"] or own
    others = [line for line in table.lines if line not in methods]
    titles = [short(line.title) for line in methods]
    shown = _telling(table, methods)
    margin = 0.3 + 0.068 * max(map(len, titles))  # inches, for the names of the methods
    size = (INCHES_PER_PANEL, _panel_height(len(methods)))
    across, handles = abreast(len(shown)), _legend(table, others)
    fit = entries_abreast(handles, margin + across * size[0])
    foot = 0.35 + 0.17 * (-(-len(handles) // fit) - 1)
    figure, panels = panelled(len(shown), across, size, margin, foot, sharey=True)
    for panel, number in zip(panels, shown, strict=True):
        cells = [line.cells[number] for line in methods]
        draw_column(panel, table.columns[number], dict(enumerate(cells)))
        _references(panel, number, others)
        _published(panel, number, methods, others)
    panels[0].set_yticks(range(len(methods)), titles)
    panels[0].set_ylim(len(methods) - 0.4, -0.6)
    if len(handles) > 1:
        figure.legend(handles=handles, loc="outside lower center", ncols=fit, frameon=False)
    return figure


def entries_abreast(handles: Sequence[Artist], wide: float) -> int:
    """How many entries of a legend fit beside one another in so many inches."""
    widths = [0.5 + LETTER * len(str(handle.get_label())) for handle in handles]
    if sum(widths) <= wide:
        return len(widths)
    return max(1, int(wide / max(widths)))


def abreast(count: int) -> int:
    """How many of so many panels stand side by side."""
    return 2 if count == 4 else min(ACROSS, count)


def panelled(
    count: int,
    across: int,
    panel: tuple[float, float],
    margin: float = 0.0,
    foot: float = 0.0,
    sharey: bool = False,
) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` panels, each of the size ``panel``; all lengths in inches.

    ``margin`` is beside all panels, for names; ``foot`` below them.
    """
    down = -(-count // across)
    size = (margin + across * panel[0], foot + down * panel[1])
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    places = list(figure.subplots(down, across, squeeze=False, sharey=sharey).flatten())
    for empty in places[count:]:
        empty.set_visible(False)
    return figure, places[:count]


def _telling(table: Table, methods: Sequence[Line]) -> list[int]:
    """The columns to draw: without a cost that is the same for all, such as an encoder's size."""
    values = [{line.cells[n].value for line in methods} - {None} for n in range(len(table.columns))]
    kept = [
        n
        for n, column in enumerate(table.columns)
        if column.evaluation != PRETRAIN or len(values[n]) > 1
    ]
    return kept or list(range(len(table.columns)))


def _panel_height(rows: int) -> float:
    return 0.75 + INCHES_PER_ROW * max(2, rows)


def draw_column(axes: Axes, column: Column, cells: Mapping[int, Cell]) -> None:
    """The cells of a column as dots with intervals, each at its height, and their text beside."""
    axes.set_title(short(column.title, 30))
    unit = column.unit or "value"
    axes.set_xlabel(unit if column.higher_is_better else f"{unit}, less is better")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter("{x:,.10g}")
    axes.grid(axis="x", color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
    for y, cell in cells.items():
        axes.axhline(y, color="#F0F0F0", linewidth=0.6, zorder=0)
        if cell.value is not None:
            if cell.low is not None and cell.high is not None:
                axes.plot([cell.low, cell.high], [y, y], color=BLUE, linewidth=1.6, zorder=3)
            axes.plot(cell.value, y, "o", color=BLUE, ms=3.8, zorder=4)
        axes.annotate(
            cell.text,
            (1.0, y),
            xycoords=axes.get_yaxis_transform(),
            xytext=(2, 0),
            textcoords="offset points",
            va="center",
            fontweight="bold" if cell.bold else "normal",
            color=INK if cell.value is not None else GREY,
        )
    axes.margins(x=0.08)


def _references(axes: Axes, number: int, lines: Sequence[Line]) -> None:
    for line in lines:
        value = line.cells[number].value
        if value is not None and line.kind in DASHES:
            axes.axvline(value, color=GREY, linestyle=DASHES[line.kind], linewidth=1.2, zorder=2)


def _published(axes: Axes, number: int, methods: Sequence[Line], lines: Sequence[Line]) -> None:
    rows = {line.label: y for y, line in enumerate(methods)}
    for line in lines:
        value = line.cells[number].value
        if line.kind == "reported" and value is not None and line.label in rows:
            axes.plot(value, rows[line.label], "D", color=ORANGE, mfc="white", ms=4.5, zorder=3)


def _legend(table: Table, others: Sequence[Line]) -> list[Line2D]:
    """What dots, and what the lines that are no rows of the figure stand for."""
    spread = any(cell.low is not None for line in table.lines for cell in line.cells)
    name = "measured, 95 % interval" if spread else "measured"
    handles = [Line2D([], [], color=BLUE, marker="o", ms=3.8, lw=1.6 * spread, label=name)]
    kinds = {line.kind: line.title for line in others}
    if "reported" in kinds:
        open_diamond = Line2D([], [], color=ORANGE, marker="D", mfc="white", ms=4.5, lw=0)
        open_diamond.set_label("published")
        handles.append(open_diamond)
    for kind, style in DASHES.items():
        if kind in kinds:
            label = short(kinds[kind])
            handles.append(Line2D([], [], color=GREY, linestyle=style, lw=1.2, label=label))
    return handles


def short(text: str, letters: int = 34) -> str:
    """Text that fits and that matplotlib does not take for mathematics."""
    text = text if len(text) <= letters else text[: letters - 1] + "…"
    return text.replace("$", r"\$")
