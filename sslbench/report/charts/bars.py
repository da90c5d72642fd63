"""Every score as bars from zero, the best first, with intervals and what guessing would get."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sslbench.report.charts.scores import Entrant, Scores
from sslbench.report.charts.styles import Sheet, made
from sslbench.report.grid import Cell, Column
from sslbench.report.picture import Picture
from sslbench.report.plots import BLUE, GREY, INK, LETTER, ORANGE, short

MOST = 12  # methods in a panel; the picture of all evaluations has the others
WIDE = 9.6  # inches
ROW = 0.2
LETTERS = 22
PALE = "#BDBDBD"


@dataclass(frozen=True)
class Ranked:
    """A panel: its bars from the top, and what guessing gets."""

    column: Column
    bars: tuple[tuple[Entrant, Cell], ...]
    chance: float | None


def bars(scores: Scores) -> tuple[list[Picture], list[str]]:
    """One picture with a panel per evaluation."""
    panels = [_ranked(scores, column) for column in scores.columns]
    if not panels or not scores.methods:
        return [], ["Scores as bars: no method has a score yet."]
    many = len(scores.methods) > MOST
    single = all(len(cell.seeds) <= 1 for panel in panels for _, cell in panel.bars)
    caption = (
        "A panel per score, the best on top, every bar from zero; dark lines: 95 % interval"
        + (", with one seed on other test images." if single else " of the mean over seeds.")
        + " Pale bars: untrained and supervised encoders."
        + (f" Only the best {MOST} of {len(scores.methods)} methods." if many else "")
        + (
            " Dotted: what guessing gets."
            if any(panel.chance is not None for panel in panels)
            else ""
        )
    )
    picture = made(
        name="bars",
        title="Scores",
        caption=caption,
        alternative="; ".join(_said(scores, panel) for panel in panels) + ".",
        drawn={"panels": [asdict(panel) for panel in panels]},
        draw=lambda: figure(panels),
    )
    return [picture], []


def _ranked(scores: Scores, column: Column) -> Ranked:
    ranked = scores.ranked(column)[:MOST]
    beside = [(one, scores.cell(one.label, column)) for one in scores.baselines]
    known = [pair for pair in (*ranked, *beside) if pair[1].value is not None]
    sign = -1 if column.higher_is_better else 1
    known.sort(key=lambda pair: sign * (pair[1].value or 0.0))
    without = [
        (one, cell)
        for one, cell in ((m, scores.cell(m.label, column)) for m in scores.methods)
        if cell.value is None
    ]
    return Ranked(column, (*known, *without[: MOST - len(ranked)]), scores.chance(column))


def _said(scores: Scores, panel: Ranked) -> str:
    beside = [
        f"{one.title} {cell.text}"
        for one, cell in panel.bars
        if one.kind != "method" and cell.value is not None
    ]
    chance = [] if panel.chance is None else [f"guessing {panel.chance:.1f}"]
    found = scores.best(panel.column)
    return f"{found} (beside them: {', '.join(beside + chance)})" if beside + chance else found


def figure(panels: Sequence[Ranked]) -> Figure:
    rows = max(2, *(len(panel.bars) for panel in panels))
    letters = max(
        len(short(one.title, LETTERS).replace("\\", "")) for p in panels for one, _ in p.bars
    )
    # A title is wider than its panel, so names of few letters get room, too.
    names, width, values = max(0.9, 0.12 + LETTER * letters), 1.2, 0.42
    handles: list[Line2D] = [Line2D([], [], color=BLUE, lw=6, label="methods")]
    if any(one.kind != "method" for panel in panels for one, _ in panel.bars):
        handles.append(Line2D([], [], color=PALE, lw=6, label="untrained, supervised"))
    if any(cell.low is not None for panel in panels for _, cell in panel.bars):
        handles.append(Line2D([], [], color=INK, lw=1.3, label="95 % interval"))
    if any(panel.chance is not None for panel in panels):
        handles.append(Line2D([], [], color=ORANGE, ls=":", lw=1.4, label="guessing"))
    sheet = Sheet(
        count=len(panels),
        across=max(1, int(WIDE / (names + width + values))),
        width=width,
        height=ROW * rows,
        left=names,
        right=values,
        handles=tuple(handles),
    )
    drawn = sheet.figure()
    for number, panel in enumerate(panels):
        axes = sheet.panel(drawn, number)
        axes.set_title(short(panel.column.title, 28))
        unit = panel.column.unit or "value"
        told = unit if panel.column.higher_is_better else f"{unit}, less is better"
        axes.set_xlabel(f"{told}, best on test" if panel.column.peeks else told)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_color(INK)
        axes.tick_params(axis="y", length=0)
        if panel.chance is not None:
            axes.axvline(panel.chance, color=ORANGE, linestyle=":", lw=1.4, zorder=5)
        for place, (one, cell) in enumerate(panel.bars):
            colour = BLUE if one.kind == "method" else PALE
            if cell.value is not None:
                axes.barh(place, cell.value, height=0.68, color=colour, zorder=2)
            if cell.low is not None and cell.high is not None:
                axes.plot([cell.low, cell.high], [place, place], color=INK, lw=1.3, zorder=4)
            axes.annotate(
                cell.text,
                (1.0, place),
                xycoords=axes.get_yaxis_transform(),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontweight="bold" if cell.bold else "normal",
                color=INK if cell.value is not None else GREY,
            )
        values_here = [v for _, c in panel.bars for v in (c.value, c.low, c.high) if v is not None]
        axes.set_xlim(min(0.0, *values_here), max(0.0, *values_here) * 1.04 or 1.0)
        axes.set_ylim(rows - 0.5, -0.5)
        axes.set_yticks(
            range(len(panel.bars)), [short(one.title, LETTERS) for one, _ in panel.bars]
        )
    return drawn
