"""Accuracy against cost: what each method scores for its device hours, and which are worth it.

The front (Pareto's) holds the methods that no other beats in both: another score for fewer hours,
or more hours for another score.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import Bbox

from sslbench.report.charts.labels import Point, place_names
from sslbench.report.charts.scores import Entrant, Scores, costs, in_words
from sslbench.report.charts.styles import (
    Sheet,
    made,
    numbered,
    reference_handles,
    shared_out,
)
from sslbench.report.frame import PRETRAIN
from sslbench.report.grid import Cell, Column
from sslbench.report.picture import Picture
from sslbench.report.plots import BLUE, DASHES, GREY, ORANGE, short

TITLE = "Accuracy against cost"
PANELS = 4  # of a picture
UNITS = ((1.0, "device hours"), (60.0, "device minutes"), (3600.0, "device seconds"))
LEAST = 0.5  # of the largest cost in its unit, or a smaller unit is taken
SPAN = 3.0  # largest by smallest cost, from which on the axis is logarithmic
LETTERS = 26
PALE = "#F6C9A8"  # of the front: bars of costs lie on it


@dataclass(frozen=True)
class Bargain:
    """A method in a panel: its score and its cost, with what each may be."""

    title: str
    score: Cell
    cost: Cell
    on_front: bool

    @property
    def x(self) -> float:
        return self.cost.value or 0.0

    @property
    def y(self) -> float:
        return self.score.value or 0.0


def pareto(scores: Scores) -> tuple[list[Picture], list[str]]:
    """Pictures of up to four panels, one per evaluation whose settings the test did not choose."""
    columns = [column for column in scores.columns if not column.peeks]
    known = [e for e in scores.of(PRETRAIN) if e["metric"] == "device_hours"]
    if not any(e["status"] == "done" for e in known):
        return [], [f"{TITLE}: no run has a known cost."]
    cost = costs(scores)
    panels = [(column, _bargains(scores, column, cost)) for column in columns]
    panels = [(column, found) for column, found in panels if len(found) > 1]
    if not panels:
        return [], [f"{TITLE}: fewer than two methods have both a score and a cost."]
    machines = sorted({e["machine"] for e in known if e["status"] == "done" and e["machine"]})
    parts = shared_out(panels, PANELS)
    return [_picture(scores, part, machines, number) for number, part in enumerate(parts)], []


def _bargains(scores: Scores, column: Column, cost: Column) -> list[Bargain]:
    both = [
        (method, scores.cell(method.label, column), scores.cell(method.label, cost))
        for method in scores.methods
    ]
    both = [
        (m, score, hours) for m, score, hours in both if score.value is not None and hours.value
    ]
    sign = 1 if column.higher_is_better else -1
    points = [(hours.value or 0.0, sign * (score.value or 0.0)) for _, score, hours in both]
    return [
        Bargain(method.name, score, hours, not any(_beats(other, point) for other in points))
        for (method, score, hours), point in zip(both, points, strict=True)
    ]


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """(cost, score): no worse in both and better in one."""
    return one != other and one[0] <= other[0] and one[1] >= other[1]


def _picture(
    scores: Scores,
    panels: Sequence[tuple[Column, list[Bargain]]],
    machines: Sequence[str],
    number: int,
) -> Picture:
    baselines = [
        [(one, scores.value(one.label, column)) for one in scores.baselines] for column, _ in panels
    ]
    several = len(machines) > 1
    one_seed = all(len(b.cost.seeds) <= 1 for _, found in panels for b in found)
    return made(
        name=numbered("cost", number),
        title=TITLE,
        caption=(
            "Score against the time of pre-training on one device; upper left is better"
            if all(column.higher_is_better for column, _ in panels)
            else "Score against the time of pre-training on one device"
        )
        + ". The line is the front: no other method is both cheaper and better than those on it. "
        + (
            "Bars: 95 % interval of the score; of one seed's cost there is none."
            if one_seed
            else "Bars: 95 % intervals of both."
        )
        + " Names that found no room, and baselines beyond the panel, stand in the table."
        + (
            f" Times were taken on {len(machines)} machines and do not compare: "
            f"{'; '.join(machines)}."
            if several
            else ""
        ),
        alternative="; ".join(_said(column, found) for column, found in panels) + ".",
        drawn={
            "panels": [[asdict(column), [asdict(b) for b in found]] for column, found in panels],
            "baselines": [[[asdict(one), value] for one, value in some] for some in baselines],
        },
        draw=lambda: figure(panels, baselines),
    )


def _said(column: Column, found: Sequence[Bargain]) -> str:
    front = _front(found)
    scale, unit = unit_of([b.x for b in found])
    named = [f"{b.title} with {in_words(b.y, column)} for {b.x * scale:,.3g} {unit}" for b in front]
    return f"{column.title}, on the front of {len(found)} methods: {', '.join(named)}"


def _front(found: Sequence[Bargain]) -> list[Bargain]:
    return sorted((b for b in found if b.on_front), key=lambda b: b.x)


def unit_of(hours: Sequence[float]) -> tuple[float, str]:
    """What hours are multiplied with, and the unit that they then have."""
    for scale, unit in UNITS:
        if max(hours) * scale >= LEAST:
            return scale, unit
    return UNITS[-1]


def figure(
    panels: Sequence[tuple[Column, Sequence[Bargain]]],
    baselines: Sequence[Sequence[tuple[Entrant, float | None]]],
) -> Figure:
    most = max(len(found) for _, found in panels)
    crowded = most > 8
    front = Line2D([], [], color=PALE, lw=3, marker="o", mfc=ORANGE, mec=ORANGE, ms=5)
    front.set_label("on the front")
    others = Line2D([], [], color=BLUE, lw=0, marker="o", ms=4, label="other methods")
    within = [_within(found, some) for (_, found), some in zip(panels, baselines, strict=True)]
    shown = dict.fromkeys(one for some in within for one, _ in some)
    sheet = Sheet(
        count=len(panels),
        across=2,
        width=3.9 if crowded else 3.1,
        height=3.3 if crowded else 2.2,
        left=0.55,
        right=0.2,
        below=0.5,
        handles=(front, others, *reference_handles(list(shown))),
    )
    drawn = sheet.figure()
    for number, (column, found) in enumerate(panels):
        axes = sheet.panel(drawn, number)
        axes.set_title(short(column.title))
        unit = column.unit or "value"
        axes.set_ylabel(unit if column.higher_is_better else f"{unit}, less is better")
        _draw(axes, found, within[number])
    return drawn


def _heights(found: Sequence[Bargain]) -> tuple[float, float]:
    """The limits of a panel's scores: all intervals and a margin."""
    values = [v for b in found for v in (b.y, b.score.low, b.score.high) if v is not None]
    margin = 0.1 * (max(values) - min(values)) or 1.0
    return min(values) - margin, max(values) + margin


def _within(
    found: Sequence[Bargain], baselines: Sequence[tuple[Entrant, float | None]]
) -> list[tuple[Entrant, float]]:
    """The baselines that lie in the panel: methods are not squeezed for the sake of others."""
    low, high = _heights(found)
    return [(one, value) for one, value in baselines if value is not None and low < value < high]


def _draw(
    axes: Axes,
    found: Sequence[Bargain],
    baselines: Sequence[tuple[Entrant, float]],
) -> None:
    scale, unit = unit_of([b.x for b in found])
    smallest, largest = min(b.x for b in found) * scale, max(b.x for b in found) * scale
    logarithmic = largest > SPAN * smallest
    axes.set_xlabel(unit)
    front = _front(found)
    # Until the next better one, nothing better is to be had for more hours.
    xs = [b.x * scale for b in front]
    axes.plot(
        [*xs, largest * 1.05],
        [*(b.y for b in front), front[-1].y],
        color=PALE,
        lw=3,
        drawstyle="steps-post",
        zorder=1.5,
    )
    for b in found:
        colour = ORANGE if b.on_front else BLUE
        if b.score.low is not None and b.score.high is not None:
            axes.plot([b.x * scale] * 2, [b.score.low, b.score.high], color=colour, lw=1, zorder=3)
        if b.cost.low is not None and b.cost.high is not None:
            low, high = max(b.cost.low * scale, smallest / 4), b.cost.high * scale
            axes.plot([low, high], [b.y] * 2, color=colour, lw=1, zorder=3)
        axes.plot(b.x * scale, b.y, "o", color=colour, ms=5 if b.on_front else 4, zorder=4)
    if logarithmic:
        axes.set_xscale("log")
        left, right = axes.get_xlim()
        ticks = [m * 10.0**e for e in range(-4, 7) for m in (1, 2, 5)]
        axes.xaxis.set_major_locator(FixedLocator([t for t in ticks if left <= t <= right]))
        axes.xaxis.set_major_formatter("{x:,.10g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.margins(x=0.12)
    axes.autoscale_view()
    axes.set_xlim(axes.get_xlim())
    axes.set_ylim(_heights(found))
    for one, value in baselines:
        axes.axhline(value, color=GREY, linestyle=DASHES[one.kind], lw=1.2, zorder=1)
    left, right = axes.get_xlim()
    in_order = [*front, *sorted((b for b in found if not b.on_front), key=lambda b: -b.y)]
    place_names(
        axes,
        [Point(b.x * scale, b.y, short(b.title, LETTERS), b.on_front) for b in in_order],
        [
            *_bars(axes, found, scale),
            *_steps(axes, front, scale),
            *(_box(axes, left, value, right, value) for _, value in baselines),
        ],
    )


def _bars(axes: Axes, found: Sequence[Bargain], scale: float) -> list[Bbox]:
    """Where intervals are, in pixels: a name on one would not be read."""
    boxes = []
    for b in found:
        x, y = b.x * scale, b.y
        if b.score.low is not None and b.score.high is not None:
            boxes.append(_box(axes, x, b.score.low, x, b.score.high))
        if b.cost.low is not None and b.cost.high is not None:
            boxes.append(
                _box(axes, max(b.cost.low * scale, axes.get_xlim()[0]), y, b.cost.high * scale, y)
            )
    return boxes


def _steps(axes: Axes, front: Sequence[Bargain], scale: float) -> list[Bbox]:
    """Where the line of the front is, in pixels."""
    right = axes.get_xlim()[1]
    boxes = []
    for number, b in enumerate(front):
        last = number + 1 == len(front)
        x, y = (right, b.y) if last else (front[number + 1].x * scale, front[number + 1].y)
        boxes += [_box(axes, b.x * scale, b.y, x, b.y), _box(axes, x, b.y, x, y)]
    return boxes


def _box(axes: Axes, x0: float, y0: float, x1: float, y1: float) -> Bbox:
    (left, low), (right, high) = axes.transData.transform([(x0, y0), (x1, y1)])
    return Bbox.from_extents(
        min(left, right) - 2, min(low, high) - 2, max(left, right) + 2, max(low, high) + 2
    )
