"""Health over epochs: the signals that a verdict is told by, a panel per method."""

from collections.abc import Sequence
from dataclasses import asdict

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sslbench.report.charts.scores import BEST
from sslbench.report.charts.styles import LINES, Sheet, made, numbered, shared_out
from sslbench.report.charts.training import entitle
from sslbench.report.charts.trainings import Line, Read, Training, Trainings, mean_line, telling
from sslbench.report.picture import Picture

TITLE = "Health of the trainings"
ACROSS, MOST = 3, 15  # panels side by side, and of a picture
# What is drawn of each kind of signal, in shares of the most it can be.
SIGNALS = {
    "spread_share": "spread of features",
    "neighbours": "shared neighbours of two views",
    "used": "clusters or prototypes in use",
    "entropy": "evenness of their sizes",
    "distinct": "distinct among them",
}
KINDS = ("clusters", "prototypes")
# The multiples of the untrained encoder's signal below which both make a collapse.
LIMITS = {"spread_share": "spread", "neighbours": "neighbours"}


def healths(read: Read) -> tuple[list[Picture], list[str]]:
    """Of the methods whose logs have signals; the faults of logs are told with the curves."""
    found = [one for one in read.found if any(seed.readings.signals for seed in one.seeds)]
    if not found:
        return [], [f"{TITLE}: no train.jsonl here holds signals of health."]
    shown, said = telling(found, 2 * MOST, TITLE)
    parts = shared_out(shown, MOST)
    return [_picture(part, number) for number, part in enumerate(parts)], said


def _picture(found: Sequence[Trainings], number: int) -> Picture:
    several = any(len(one.seeds) > 1 for one in found)
    ill = [one for one in found if not one.is_sound]
    words = (
        f"Not healthy: {'; '.join(f'{one.row.title} ({one.verdict})' for one in ill)}."
        if ill
        else "All trainings are healthy, or have no verdict."
    )
    return made(
        name=numbered("health", number),
        title=TITLE,
        caption=(
            "Signals of each encoder, in shares of the most they can be, at epoch 0 (untrained) "
            "and at ends of epochs. Features have collapsed where spread and shared neighbours "
            "both end below their dashed limits. "
            + ("Thick: the mean over seeds; thin: each seed. " if several else "")
            + "Under each name the verdict."
        ),
        alternative=f"{words} Most shared neighbours at the end: {_most(found)}.",
        drawn={"trainings": [asdict(one) for one in found]},
        draw=lambda: figure(found),
    )


def _most(found: Sequence[Trainings]) -> str:
    last = []
    for one in found:
        ends = [v[-1] for s in one.seeds if (v := s.readings.signals.get("neighbours"))]
        if ends:
            last.append((sum(ends) / len(ends), one.row.title))
    return ", ".join(f"{title} {value:.2f}" for value, title in sorted(last, reverse=True)[:BEST])


def figure(found: Sequence[Trainings]) -> Figure:
    drawn_ones = {name for one in found for name in SIGNALS if _lines(one, name)}
    handles = []
    for place, (name, label) in enumerate(SIGNALS.items()):
        colour, marker, dash = LINES[place]
        if name in drawn_ones:
            line = Line2D([], [], color=colour, marker=marker, ms=3.5, ls=dash, lw=1.4)
            line.set_label(label)
            handles.append(line)
    sheet = Sheet(
        count=len(found),
        across=ACROSS,
        width=2.3,
        height=1.35,
        left=0.4,
        above=0.5,
        below=0.42,
        handles=tuple(handles),
    )
    figure = sheet.figure()
    for number, one in enumerate(found):
        axes = sheet.panel(figure, number)
        for place, name in enumerate(SIGNALS):
            _signal(axes, one, name, LINES[place])
        axes.set_ylim(0, 1.03)
        axes.set_yticks([0, 0.5, 1])
        axes.set_xlim(left=0)
        entitle(axes, one, above=3)
        if sheet.is_lowest(number):
            axes.set_xlabel("epoch")
    return figure


def _signal(axes: Axes, one: Trainings, name: str, look: tuple[str, str, str]) -> None:
    colour, marker, dash = look
    lines = _lines(one, name)
    if not lines:
        return
    if len(lines) > 1:
        for at, values in lines:
            axes.plot(at, values, color=colour, lw=0.6, alpha=0.5, zorder=2)
    at, values = mean_line(lines)
    axes.plot(at, values, color=colour, marker=marker, ms=3, linestyle=dash, lw=1.4, zorder=3)
    limits = [limit for seed in one.seeds if (limit := _limit(seed, name)) is not None]
    if limits:
        axes.axhline(sum(limits) / len(limits), color=colour, lw=0.8, ls=(0, (2, 3)), zorder=1)


def _lines(one: Trainings, name: str) -> list[Line]:
    """Of each seed: epochs and values, the untrained encoder's first."""
    found = []
    for seed in one.seeds:
        for key in (name, *(f"{kind}_{name}" for kind in KINDS)):
            at, values = seed.readings.epochs.get(key, []), seed.readings.signals.get(key, [])
            if values:
                before = seed.health.untrained.get(key) if seed.health else None
                begun = [(0, before)] if before is not None else []
                found.append(([*(a for a, _ in begun), *at], [*(v for _, v in begun), *values]))
                break
    return found


def _limit(seed: Training, name: str) -> float | None:
    if seed.health is None or name not in LIMITS:
        return None
    share = seed.health.thresholds.get(LIMITS[name])
    before = seed.health.untrained.get(name)
    return None if share is None or before is None else share * before
