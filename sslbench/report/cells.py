"""One cell: what the seeds of a row say of one score, and how it is written."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from sslbench.report.frame import PRETRAIN, Status
from sslbench.report.grid import MINUS, NO_NUMBER, Cell, Column, Difference
from sslbench.stats.seeds import paired_differences, t_interval
from sslbench.stats.separable import Sample

COUNTS = ("parameters", "steps")  # of `pretrain`: written out in full
LEVEL = 0.95  # of the intervals over seeds


@dataclass(frozen=True)
class Draft:
    """A cell whose footnotes have no numbers yet."""

    cell: Cell
    notes: list[str] = field(default_factory=list)
    complete: bool = True  # every planned seed has a value


def draft_cell(column: Column, entries: Sequence[dict[str, Any]]) -> Draft:
    """A cell out of the frame's lines for it, one per seed."""
    done = [entry for entry in entries if entry["status"] == "done"]
    if not done:
        return _without_number(entries)
    seeds = {int(entry["seed"]): float(entry["value"]) for entry in done}
    value = fmean(seeds.values())
    spread, low, high, level, interval = "", None, None, None, ""
    digits = digits_of(column, value)
    constant = column.evaluation == PRETRAIN and len(set(seeds.values())) == 1
    if len(seeds) > 1 and not constant:  # the size of an encoder has no interval
        low, high = t_interval(list(seeds.values()), LEVEL)
        level, interval = LEVEL, f"Student's t over {len(seeds)} seeds"
        spread = f"± {written(high - value, digits)}"
    elif len(seeds) == 1 and not math.isnan(done[0]["low"]):
        low, high, level = done[0]["low"], done[0]["high"], done[0]["level"]
        interval = done[0]["interval"]
        spread = f"[{written(low, digits)}, {written(high, digits)}]"
    cell = Cell(
        status="done",
        text=written(value, digits),
        spread=spread,
        value=value,
        low=low,
        high=high,
        level=level,
        interval=interval,
        n=int(done[0]["n"]),
        seeds=seeds,
        fingerprints=tuple(dict.fromkeys(e["fingerprint_sha256"] for e in done)),
    )
    lost = [entry for entry in entries if entry["status"] != "done"]
    notes = [
        f"seed {entry['seed']} {_fate(entry)}; the mean is over {len(done)} of {len(entries)} seeds"
        for entry in lost
    ]
    return Draft(cell, notes, complete=not lost)


def _without_number(entries: Sequence[dict[str, Any]]) -> Draft:
    statuses = {entry["status"] for entry in entries}
    order: tuple[Status, ...] = ("failed", "skipped")
    status: Status = next((s for s in order if s in statuses), "missing")
    text = NO_NUMBER if status == "missing" else status
    told = [entry for entry in entries if entry["status"] == status and entry["reason"]]
    reasons = list(dict.fromkeys(entry["reason"] for entry in told))
    if len(reasons) > 1:
        reasons = [f"seed {entry['seed']}: {entry['reason']}" for entry in told]
    return Draft(Cell(status=status, text=text), ["; ".join(reasons)] if reasons else [])


def _fate(entry: dict[str, Any]) -> str:
    if entry["status"] == "missing":
        return "has not been run"
    return f"{entry['status']} ({entry['reason']})"


def with_difference(draft: Draft, first: Draft, column: Column) -> Draft:
    """The same cell with its difference from the first row's, over the seeds that both have."""
    differences = paired_differences(draft.cell.seeds, first.cell.seeds)
    if not differences:
        return draft
    mean = fmean(differences)
    bounds = t_interval(differences, LEVEL) if len(differences) > 1 else (None, None)
    digits = digits_of(column, first.cell.value or 0.0)
    sign = "+" if mean >= 0 else ""
    cell = replace(
        draft.cell,
        difference=Difference(mean, *bounds),
        difference_text=f"({sign}{written(mean, digits)})",
    )
    return replace(draft, cell=cell)


def sample(cell: Cell) -> Sample:
    """What the statistics need of a cell with a number."""
    known = cell.low is not None and cell.high is not None
    return Sample(cell.seeds, (cell.low, cell.high) if known else None)  # type: ignore[arg-type]


def digits_of(column: Column, value: float) -> int:
    """Decimals: one for percent, three for indices, three significant figures for costs."""
    if column.evaluation != PRETRAIN:
        return 1 if column.unit == "%" else 3
    if column.metric in COUNTS or value == 0:
        return 0
    return min(6, max(0, 2 - math.floor(math.log10(abs(value)))))


def written(value: float, digits: int) -> str:
    text = f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.removeprefix("-")
    return text.replace("-", MINUS)
