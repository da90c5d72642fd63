"""Scores or differences as coloured cells, each with its number: two factors, or levels by domain.

Scores go from white to blue; differences from orange over white to blue, the same strength for the
same size. Both are told apart by colour-blind readers and in grey print by their numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sslbench.report.cells import digits_of
from sslbench.report.grid import Cell, Column, Table
from sslbench.report.places import apart, difference_text
from sslbench.report.plots import BLUE, GREY, INK, ORANGE, panelled, save, short

SCORES = LinearSegmentedColormap.from_list("scores", ["#FFFFFF", BLUE])
CHANGES = LinearSegmentedColormap.from_list("changes", [ORANGE, "#FFFFFF", BLUE])
CELL = (1.02, 0.46)  # inches
LETTER = 0.068  # inches, about, of a letter
DARK = 0.21  # luminance below which white text has the greater contrast


@dataclass(frozen=True)
class Shade:
    """One cell: what colours it, and what is written in it."""

    value: float | None
    text: str
    framed: bool = False
    strong: bool = False


@dataclass(frozen=True)
class Panel:
    """One heat map."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    shades: tuple[tuple[Shade | None, ...], ...]  # None: nothing is drawn
    row_axis: str = ""
    column_axis: str = ""
    changes: bool = False


def draw_matrix(table: Table, png: Path, svg: Path) -> None:
    """Writes the heat map of an interaction table in both formats."""
    save(lambda: heat_maps([matrix_panel(table, None)]), png, svg)


def matrix_panel(table: Table, reference: tuple[int, int] | None) -> Panel:
    """Of an interaction table; the crossing that interactions are measured from is framed."""
    rows, row_axis = _without_prefix([line.title for line in table.lines])
    columns, column_axis = _without_prefix([column.title for column in table.columns])
    shades = []
    for i, line in enumerate(table.lines):
        shades.append(
            tuple(
                None if not cell.text else _shade(cell, table.columns[j], (i, j) == reference)
                for j, cell in enumerate(line.cells)
            )
        )
    unit = table.columns[0].unit
    score = table.caption.rpartition(": ")[2]
    title = f"{score} ({unit})" if unit else score
    return Panel(title, rows, columns, tuple(shades), row_axis, column_axis)


def _shade(cell: Cell, column: Column, framed: bool) -> Shade:
    change = cell.difference
    text = cell.text
    if change is not None:
        text += f"\n({difference_text(change, digits_of(column, cell.value or 0.0), 2)})"
    return Shade(cell.value, text, framed, change is not None and apart(change))


def _without_prefix(titles: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """``queue size: 256`` ... as ``256`` ... on an axis called ``queue size``."""
    heads = {title.partition(": ")[0] for title in titles}
    if len(heads) == 1 and all(": " in title for title in titles):
        return tuple(title.partition(": ")[2] for title in titles), heads.pop()
    return tuple(titles), ""


def heat_maps(panels: Sequence[Panel]) -> Figure:
    """Panels side by side, or below each other where they are wide."""
    columns = max(len(panel.columns) for panel in panels)
    rows = max(len(panel.rows) for panel in panels)
    margin = 0.35 + LETTER * max(len(short(row, 26)) for panel in panels for row in panel.rows)
    width, height = margin + CELL[0] * columns, 0.85 + CELL[1] * rows
    across = max(1, min(len(panels), int(7.6 // width)))
    figure, places = panelled(len(panels), across, (width, height))
    for axes, panel in zip(places, panels, strict=True):
        _draw(axes, panel)
    return figure


def _draw(axes: Axes, panel: Panel) -> None:
    known = [s.value for row in panel.shades for s in row if s is not None and s.value is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    if panel.changes:
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    if low == high:
        low, high = low - 1, high + 1
    shown, colours = Normalize(low, high), CHANGES if panel.changes else SCORES
    for y, row in enumerate(panel.shades):
        for x, shade in enumerate(row):
            if shade is not None:
                _cell(axes, x, y, shade, shown, colours)
    axes.set_xlim(-0.5, len(panel.columns) - 0.5)
    axes.set_ylim(len(panel.rows) - 0.5, -0.5)
    axes.set_xticks(range(len(panel.columns)), [_folded(title) for title in panel.columns])
    axes.set_yticks(range(len(panel.rows)), [short(title, 26) for title in panel.rows])
    axes.set_xlabel(short(panel.column_axis, 60))
    axes.set_ylabel(short(panel.row_axis, 30))
    axes.set_title(short(panel.title, 60))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _cell(
    axes: Axes, x: int, y: int, shade: Shade, shown: Normalize, colours: LinearSegmentedColormap
) -> None:
    face, hatch = (1.0, 1.0, 1.0), "////"
    if shade.value is not None:
        share = float(shown(shade.value))
        # No cell is quite as dark as the colour itself, nor quite white if it is a score.
        place = 0.04 + 0.88 * share if colours is SCORES else 0.5 + 0.9 * (share - 0.5)
        face, hatch = colours(place)[:3], ""
    ink = GREY if hatch else "#FFFFFF" if _luminance(face) < DARK else INK
    axes.add_patch(
        Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=face, edgecolor="#FFFFFF", linewidth=1.5)
    )
    if hatch:
        axes.add_patch(
            Rectangle(
                (x - 0.46, y - 0.44), 0.92, 0.88, fill=False, edgecolor="#E2E2E2", hatch=hatch
            )
        )
    if shade.framed:
        axes.add_patch(
            Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, fill=False, edgecolor=INK, linewidth=1.2)
        )
    axes.text(
        x,
        y,
        short(shade.text, 60),
        ha="center",
        va="center",
        color=ink,
        fontweight="bold" if shade.strong else "normal",
        linespacing=1.25,
        bbox={"facecolor": "#FFFFFF", "edgecolor": "none", "pad": 1} if hatch else None,
    )


def _luminance(colour: tuple[float, ...]) -> float:
    """Of an sRGB colour, as WCAG 2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _folded(title: str) -> str:
    """A heading in lines that fit over a cell."""
    lines = [""]
    for word in title.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) + 1 > CELL[0] / LETTER:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(short(line, 16) for line in lines)
