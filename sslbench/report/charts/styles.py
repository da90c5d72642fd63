"""What charts share: colours and markers, panels of one size on a sheet, and the digest.

Colours of Okabe and Ito (2008), each with a marker and a dash of its own, so that a grey print
tells lines apart. Panels are placed in inches: nothing moves when a name is long, and there is no
layout to solve for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from sslbench.config import fingerprint
from sslbench.report.charts.scores import Entrant
from sslbench.report.picture import Picture
from sslbench.report.plots import BLUE, DASHES, GREY, entries_abreast, short

VERSION = 1  # bumped by hand when charts look different, so that older ones are drawn again
LINES: tuple[tuple[str, str, Any], ...] = (  # colour, marker, dash
    ("#0072B2", "o", "-"),
    ("#D55E00", "s", "--"),
    ("#009E73", "^", "-."),
    ("#CC79A7", "D", (0, (4, 1, 1, 1, 1, 1))),
    ("#E69F00", "v", (0, (1, 1))),
    ("#56B4E9", "P", (0, (6, 2))),
)

T = TypeVar("T")


def made(
    name: str,
    title: str,
    caption: str,
    alternative: str,
    drawn: Mapping[str, Any],
    draw: Callable[[], Figure],
) -> Picture:
    """A picture whose ``inputs`` are the digest of ``drawn``: all that ``draw`` looks at."""
    inputs = fingerprint({"version": VERSION, "drawn": drawn})
    return Picture(name, title, caption, alternative, inputs, draw)


def shared_out(items: Sequence[T], most: int) -> list[list[T]]:
    """Items in order, in as few parts of at most ``most`` as will do, all about as long."""
    parts = -(-len(items) // most)
    edges = [round(part * len(items) / parts) for part in range(parts + 1)] if parts else []
    return [list(items[a:b]) for a, b in pairwise(edges)]


def numbered(name: str, number: int) -> str:
    """``training``, ``training-2``, ...: names of pictures that go together."""
    return name if number == 0 else f"{name}-{number + 1}"


@dataclass(frozen=True)
class Sheet:
    """Panels of one size, in inches; the space around each is for its title and its ticks."""

    count: int
    across: int
    width: float  # of a panel's axes
    height: float
    left: float = 0.5
    right: float = 0.2
    above: float = 0.3
    below: float = 0.45
    margin: float = 0.0  # left of all panels, for names
    handles: tuple[Line2D, ...] = ()  # of the legend, at the foot

    @property
    def columns(self) -> int:
        return min(self.across, self.count)

    @property
    def size(self) -> tuple[float, float]:
        down = -(-self.count // self.columns)
        return self._wide, down * (self.above + self.height + self.below) + self._foot

    @property
    def _wide(self) -> float:
        return self.margin + self.columns * (self.left + self.width + self.right)

    @property
    def _abreast(self) -> int:
        """How many entries of the legend fit beside one another."""
        return entries_abreast(self.handles, self._wide)

    @property
    def _foot(self) -> float:
        return 0.14 + 0.17 * -(-len(self.handles) // self._abreast) if self.handles else 0.0

    def figure(self) -> Figure:
        """Without panels, with its legend."""
        figure = Figure(figsize=self.size)
        FigureCanvasAgg(figure)
        if self.handles:
            figure.legend(
                handles=list(self.handles),
                loc="lower center",
                ncols=self._abreast,
                frameon=False,
                borderaxespad=0.2,
            )
        return figure

    def panel(
        self, figure: Figure, number: int, top: float = 0.0, height: float | None = None
    ) -> Axes:
        """The axes of a panel, or a strip of it that begins ``top`` inches below its upper edge."""
        row, place = divmod(number, self.columns)
        wide, high = self.size
        tall = self.height if height is None else height
        x = self.margin + place * (self.left + self.width + self.right) + self.left
        y = high - row * (self.above + self.height + self.below) - self.above - top - tall
        axes = figure.add_axes((x / wide, y / high, self.width / wide, tall / high))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#EDEDED", linewidth=0.6)
        axes.set_axisbelow(True)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
            axis.set_major_formatter("{x:,.10g}")
        return axes

    def is_first(self, number: int) -> bool:
        """Whether no panel is left of it: there the rows are named."""
        return number % self.columns == 0

    def is_lowest(self, number: int) -> bool:
        """Whether no panel is below: there the axis is named."""
        return number + self.columns >= self.count


def measured(spread: bool, **look: Any) -> Line2D:
    """The legend of what was measured; spread: whether any of it has an interval."""
    name = "measured, 95 % interval" if spread else "measured"
    return Line2D([], [], color=BLUE, lw=1.6 * spread, label=name, **look)


def reference_handles(baselines: Sequence[Entrant]) -> list[Line2D]:
    """The legend of the baselines' lines."""
    return [
        Line2D([], [], color=GREY, linestyle=DASHES[one.kind], lw=1.2, label=short(one.title))
        for one in baselines
    ]
