"""The critical-difference diagram: mean ranks on a line, bars over methods not told apart.

Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006, section 3.2.
"""

import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sslbench.report.grid import Ranking
from sslbench.report.plots import BLUE, GREY, INK, save, short

ROW = 0.22  # inches for a method's name
BAR = 0.12  # inches between two bars
MOST_TICKS = 20  # of the line of ranks: the numbers of more would run into one another


def draw_ranking(ranking: Ranking, png: Path, svg: Path) -> None:
    """Writes the diagram in both formats."""
    save(lambda: diagram(ranking), png, svg)


def diagram(ranking: Ranking) -> Figure:
    """The best methods to the left, each name at the end of a line from its mean rank."""
    ordered = sorted(ranking.mean_ranks.items(), key=lambda pair: pair[1])
    half = math.ceil(len(ordered) / 2)
    bars = len(ranking.groups)
    below = 0.15 + BAR * bars + ROW * half  # inches under the line of ranks
    above = 0.55
    figure = Figure(figsize=(6.4, above + below), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_axis_off()
    worst = len(ordered)
    axes.set_xlim(1 - 0.45 * (worst - 1), worst + 0.45 * (worst - 1))
    axes.set_ylim(-below, above)
    _ruler(axes, ranking, worst)
    for number, group in enumerate(ranking.groups):
        ranks = [ranking.mean_ranks[title] for title in group]
        y = -0.1 - BAR * number
        margin = 0.02 * (worst - 1)
        span = [min(ranks) - margin, max(ranks) + margin]
        axes.plot(span, [y, y], color=BLUE, linewidth=3.5, solid_capstyle="round")
    for number, (title, rank) in enumerate(ordered):
        left = number < half
        row = number if left else len(ordered) - 1 - number
        y = -0.15 - BAR * bars - ROW * (row + 0.5)
        end = 1 - 0.05 * (worst - 1) if left else worst + 0.05 * (worst - 1)
        axes.plot([rank, rank, end], [0, y, y], color=INK, linewidth=0.8)
        axes.annotate(
            f"{short(title)}  {rank:.2f}" if left else f"{rank:.2f}  {short(title)}",
            (end, y),
            xytext=(-3 if left else 3, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
        )
    return figure


def _ruler(axes: Axes, ranking: Ranking, worst: int) -> None:
    axes.plot([1, worst], [0, 0], color=INK, linewidth=1)
    every = math.ceil(worst / MOST_TICKS)
    for tick in range(1, worst + 1, every):
        axes.plot([tick, tick], [0, 0.06], color=INK, linewidth=1)
        axes.annotate(f"{tick}", (tick, 0.08), ha="center", va="bottom")
    said = f"mean rank over {len(ranking.datasets)} data sets (1 is best); bars: not told apart"
    if ranking.critical_difference is not None:
        wide = min(ranking.critical_difference, worst - 1)
        axes.plot([1, 1 + wide], [0.33, 0.33], color=GREY, linewidth=2)
        said += f"; grey: critical difference {ranking.critical_difference:.2f}"
    axes.annotate(said, (0.5 * (1 + worst), 0.4), ha="center", va="bottom", color=INK)
