"""A numeric factor: scores over its levels, a line per level of another factor if there is one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from sslbench.report.grid import Cell
from sslbench.report.plots import BLUE, GREY, ORANGE, abreast, panelled, short

# Okabe and Ito (2008), each with a marker and a dash of its own.
STYLES: tuple[tuple[str, str, str], ...] = (
    (BLUE, "o", "-"),
    (ORANGE, "s", "--"),
    ("#009E73", "^", "-."),
    ("#CC79A7", "D", ":"),
    ("#E69F00", "v", "-"),
    ("#56B4E9", "P", "--"),
)
CROWDED = 0.1  # of an axis: levels nearer than that hide each other's numbers
PANEL = (2.35, 2.15)  # inches


@dataclass(frozen=True)
class Curves:
    """One score over the levels."""

    title: str
    unit: str
    lines: Mapping[str, Sequence[tuple[float, Cell]]]  # by name: level and cell, by level
    own: float | None = None  # the base's level


def level_lines(panels: Sequence[Curves], factor: str, others: str) -> Figure:
    """A panel per score; ``others`` is the factor that the lines are levels of, or empty."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    legend = 0.3 if len(names) > 1 else 0.0
    figure, places = panelled(len(panels), abreast(len(panels)), PANEL, 0.3, legend)
    for axes, panel in zip(places, panels, strict=True):
        _panel(axes, panel, factor, names)
    if len(names) > 1:
        handles, labels = places[0].get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            title=short(others),
            loc="outside lower center",
            ncols=min(6, len(names)),
            frameon=False,
        )
    return figure


def _panel(axes: Axes, panel: Curves, factor: str, names: Sequence[str]) -> None:
    axes.set_title(short(panel.title, 30))
    axes.set_xlabel(short(factor, 40))
    axes.set_ylabel(panel.unit or "value")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    levels = sorted({level for points in panel.lines.values() for level, _ in points})
    gaps = [after - before for before, after in pairwise(levels)]
    crowded = min(gaps, default=1.0) < CROWDED * (levels[-1] - levels[0])
    logarithmic = crowded and levels[0] > 0
    if logarithmic:
        axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(levels))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    if panel.own is not None:
        axes.axvline(panel.own, color=GREY, linestyle=":", linewidth=1.0, zorder=1)
    shift = _shifts(levels, len(panel.lines), logarithmic)
    for number, name in enumerate(names):
        points = [(x, c) for x, c in panel.lines.get(name, ()) if c.value is not None]
        if not points:
            continue
        colour, marker, dash = STYLES[number % len(STYLES)]
        places = [shift(x, number) for x, _ in points]
        values = [cell.value or 0.0 for _, cell in points]
        axes.plot(
            places, values, color=colour, marker=marker, linestyle=dash, ms=4, lw=1.4, label=name
        )
        for place, (_, cell) in zip(places, points, strict=True):
            if cell.low is not None and cell.high is not None:
                axes.plot([place, place], [cell.low, cell.high], color=colour, lw=1.0, alpha=0.8)
    axes.margins(x=0.08)


def _shifts(
    levels: Sequence[float], lines: int, logarithmic: bool
) -> Callable[[float, int], float]:
    """Where a line's marker stands beside its level, so that intervals do not hide each other."""

    def shift(level: float, number: int) -> float:
        aside = (number - (lines - 1) / 2) * 0.012
        if logarithmic:
            return float(level * (levels[-1] / levels[0]) ** aside)
        return level + aside * (levels[-1] - levels[0])

    return shift
