"""The table of one part of a study: its rows as they are called there, differences in full."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sslbench.report.cells import Draft, digits_of, written
from sslbench.report.grid import Column, Difference, Line
from sslbench.run import BASELINES
from sslbench.store import Row
from sslbench.study import PartFacts

Rows = Mapping[str, list[Row]]  # by label, one per seed


def placed_rows(rows: Rows, part: PartFacts) -> dict[str, list[Row]]:
    """The rows of a part out of a plan's, with their titles and notes, the base before the others.

    Baselines stay where they are: the first and the last of all.
    """
    labels = list(rows)
    above = [label for label in labels if label in BASELINES and label == labels[0]]
    below = [label for label in labels if label in BASELINES and label not in above]
    found = {label: rows[label] for label in above}
    for place in part.places:
        found[place.label] = [
            row.model_copy(update={"title": place.title, "notes": (*row.notes, *place.notes)})
            for row in rows[place.label]
        ]
    return found | {label: rows[label] for label in below}


def groups(part: PartFacts) -> dict[str, str]:
    """The factor that each row belongs to."""
    return {place.label: place.group for place in part.places}


def with_intervals(
    drafts: Sequence[Sequence[Draft]], columns: Sequence[Column]
) -> list[list[Draft]]:
    """Cells, by column, whose differences are written with their intervals."""
    pairs = zip(columns, drafts, strict=True)
    return [[_in_full(draft, column) for draft in cells] for column, cells in pairs]


def _in_full(draft: Draft, column: Column) -> Draft:
    change = draft.cell.difference
    if change is None:
        return draft
    digits = digits_of(column, draft.cell.value or 0.0)
    text = f"({difference_text(change, digits, len(draft.cell.seeds))})"
    return replace(draft, cell=replace(draft.cell, difference_text=text))


def difference_text(change: Difference, digits: int, seeds: int) -> str:
    """``+1.2 ± 0.8``, or ``+1.2 [0.4, 2.0]`` of one seed."""
    text = signed(change.value, digits)
    if change.low is None or change.high is None:
        return text
    if seeds > 1:
        return f"{text} ± {written(change.high - change.value, digits)}"
    return f"{text} [{written(change.low, digits)}, {written(change.high, digits)}]"


def signed(value: float, digits: int) -> str:
    """``+1.2``; what is written as nothing has no sign."""
    text = written(value, digits)
    return f"+{text}" if value > 0 and text.strip("0.") else text


def apart(change: Difference) -> bool:
    """Whether a difference has an interval, and 0 is not in it."""
    if change.low is None or change.high is None:
        return False
    return not change.low <= 0.0 <= change.high


def reading(lines: Sequence[Line], noun: str = "difference") -> tuple[str, ...]:
    """How many differences of a table are told apart from none, and how many would be by chance."""
    cells = [cell for line in lines if line.kind == "method" for cell in line.cells]
    changes = [cell.difference for cell in cells if cell.difference is not None]
    known = [change for change in changes if change.low is not None and change.high is not None]
    if not known:
        return ()
    told = sum(map(apart, known))
    are = f"{told} of {len(known)} {noun}s have" if len(known) > 1 else f"The {noun} has"
    an = "an" if told or len(known) > 1 else "no"
    said = f"{are} {an} interval without 0."
    by_chance = round(0.05 * len(known))
    if by_chance:
        said += (
            f" Each interval holds in 95 % of cases by itself: where nothing mattered, about "
            f"{by_chance} of {len(known)} would leave out 0 by chance."
        )
    return (said,)
