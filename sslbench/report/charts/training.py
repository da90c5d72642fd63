"""Training curves: the terms of every method's loss and its learning rate, over the steps."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sslbench.report.charts.logs import LOSS, RATE
from sslbench.report.charts.scores import BEST, Scores
from sslbench.report.charts.styles import LINES, Sheet, made, numbered, shared_out
from sslbench.report.charts.trainings import Read, Trainings, mean_line, telling, without_log
from sslbench.report.picture import Picture
from sslbench.report.plots import GREY, INK, ORANGE, short

TITLE = "Training curves"
ACROSS, MOST = 3, 12  # panels side by side, and of a picture
LOSSES, GAP, RATES = 1.25, 0.14, 0.28  # inches
LETTERS = 30


def training(scores: Scores, read: Read) -> tuple[list[Picture], list[str]]:
    """A panel per method, in as many pictures as they need."""
    found = [one for one in read.found if any(seed.readings.values for seed in one.seeds)]
    missing = without_log(scores, found)
    left = list(read.faults)
    if missing and found:
        left.append(f"{TITLE}: without {', '.join(missing)}, of which no train.jsonl is kept here.")
    if not found:
        return [], [
            *left,
            f"{TITLE}: no run has a train.jsonl here; it stays where a run was made.",
        ]
    shown, said = telling(found, 2 * MOST, TITLE)
    parts = shared_out(shown, MOST)
    return [_picture(part, number) for number, part in enumerate(parts)], [*left, *said]


def _picture(found: Sequence[Trainings], number: int) -> Picture:
    several = any(len(one.seeds) > 1 for one in found)
    ill = [one for one in found if not one.is_sound]
    return made(
        name=numbered("training", number),
        title=TITLE,
        caption=(
            "The loss that is minimised and, in colour, its terms; below, in grey, the learning "
            "rate. A loss jumps where a term joins it; losses of different methods do not compare. "
            + (
                "Thick: the mean over seeds, where all have a value; thin: each seed. "
                if several
                else ""
            )
            + "Under each name the verdict of its health; a vertical line marks where it diverged."
        ),
        alternative=f"{_falls(found)} "
        + (
            f"Not healthy: {'; '.join(f'{one.row.title} ({one.verdict})' for one in ill)}."
            if ill
            else "No run diverged or collapsed."
        ),
        drawn={"trainings": [asdict(one) for one in found]},
        draw=lambda: figure(found),
    )


def _falls(found: Sequence[Trainings]) -> str:
    """The losses that fell most, as shares of where they began."""
    falls = []
    for one in found:
        lines = [seed.readings.values[LOSS] for seed in one.seeds if LOSS in seed.readings.values]
        first, last = (sum(line[end] for line in lines) / max(len(lines), 1) for end in (0, -1))
        if first:
            falls.append((last / first - 1, f"{one.row.title} from {first:.3g} to {last:.3g}"))
    falls = [pair for pair in sorted(falls) if pair[0] < 0][:BEST]
    return f"Losses that fell most: {', '.join(words for _, words in falls) or 'none'}."


def figure(found: Sequence[Trainings]) -> Figure:
    several = any(len(one.seeds) > 1 for one in found)
    rows = max(-(-len(_names(one)) // 2) for one in found)  # of the legends over the panels
    handles = [Line2D([], [], color=GREY, lw=1.2, label="learning rate")]
    if several:
        handles = [
            Line2D([], [], color=INK, lw=1.8, label="mean over seeds"),
            Line2D([], [], color=INK, lw=0.6, alpha=0.5, label="each seed"),
            *handles,
        ]
    if any(seed.health and seed.health.step is not None for one in found for seed in one.seeds):
        handles.append(Line2D([], [], color=ORANGE, lw=1.2, ls=":", label="diverged"))
    sheet = Sheet(
        count=len(found),
        across=ACROSS,
        width=2.3,
        height=LOSSES + GAP + RATES,
        above=0.42 + 0.16 * rows,
        below=0.45,
        handles=tuple(handles),
    )
    drawn = sheet.figure()
    for number, one in enumerate(found):
        losses = sheet.panel(drawn, number, height=LOSSES)
        rates = sheet.panel(drawn, number, top=LOSSES + GAP, height=RATES)
        _losses(losses, one)
        _rates(rates, one)
        for axes in (losses, rates):
            _marked(axes, one)
            axes.set_xlim(0, _steps(one))
        losses.tick_params(labelbottom=False)
        entitle(losses, one, above=4 + 11.5 * rows)
        if sheet.is_lowest(number):
            rates.set_xlabel("step")
    return drawn


def entitle(axes: Axes, one: Trainings, above: float) -> None:
    """The method's name, and under it the verdict; ``above``: points over the panel."""
    look: dict[str, Any] = {
        "xycoords": "axes fraction",
        "textcoords": "offset points",
        "va": "bottom",
    }
    sound = one.is_sound
    axes.annotate(
        short(one.verdict or "no verdict", LETTERS + 6),
        (0, 1),
        xytext=(0, above),
        color=GREY if sound else ORANGE,
        fontweight="normal" if sound else "bold",
        **look,
    )
    axes.annotate(short(one.row.name, LETTERS), (0, 1), xytext=(0, above + 11), fontsize=9, **look)
    if not sound:
        for spine in axes.spines.values():
            spine.set(color=ORANGE, linewidth=1.4, visible=True)


def _names(one: Trainings) -> list[str]:
    return list(dict.fromkeys(name for seed in one.seeds for name in seed.readings.terms))


def _steps(one: Trainings) -> int:
    """The last step of any seed, and where one diverged, which is behind its last reading."""
    logged = [at[-1] for seed in one.seeds for at in seed.readings.steps.values()]
    return max(*logged, *(seed.health.step or 0 for seed in one.seeds if seed.health), 1)


def _losses(axes: Axes, one: Trainings) -> None:
    names = _names(one)
    axes.yaxis.set_major_formatter("{x:.4g}")  # a loss that diverges has many digits
    handles = []
    for place, name in enumerate(names):
        colour, _, dash = (INK, "", "-") if name == LOSS else LINES[(place - 1) % len(LINES)]
        lines = [
            (seed.readings.steps[name], seed.readings.values[name])
            for seed in one.seeds
            if name in seed.readings.values
        ]
        if len(lines) > 1:
            for at, values in lines:
                axes.plot(at, values, color=colour, lw=0.6, alpha=0.5, zorder=2)
        at, values = mean_line(lines)
        label = name.replace("_", " ")
        terms = {seed.readings.only_term for seed in one.seeds} - {None}
        if len(names) == 1 and terms:
            label = f"{label}: {' or '.join(sorted(str(t) for t in terms)).replace('_', ' ')}"
        (line,) = axes.plot(
            at, values, color=colour, linestyle=dash, lw=1.8 if name == LOSS else 1.4
        )
        line.set_label(short(label, LETTERS if len(names) == 1 else LETTERS // 2))
        handles.append(line)
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=2,
        frameon=False,
        borderpad=0,
        borderaxespad=0.2,
        labelspacing=0.2,
        columnspacing=1.0,
        handlelength=1.8,
        handletextpad=0.5,
    )


def _rates(axes: Axes, one: Trainings) -> None:
    for seed in one.seeds:
        if RATE in seed.readings.values:
            at, values = seed.readings.steps[RATE], seed.readings.values[RATE]
            axes.plot(at, values, color=GREY, lw=1.2)
    top = max((v for s in one.seeds for v in s.readings.values.get(RATE, [])), default=0.0) or 1.0
    axes.set_ylim(0, 1.1 * top)
    axes.set_yticks([0, top], ["0", f"{top:.2g}"])


def _marked(axes: Axes, one: Trainings) -> None:
    for seed in one.seeds:
        if seed.health is not None and seed.health.step is not None:
            axes.axvline(seed.health.step, color=ORANGE, lw=1.2, ls=":", zorder=5)
