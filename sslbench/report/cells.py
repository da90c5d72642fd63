"""One cell: what the seeds of a row say of one score, and how it is written."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from sslbench.report.columns import POINTS
from sslbench.report.frame import PRETRAIN, Status
from sslbench.report.grid import MINUS, NO_NUMBER, Cell, Column, Difference
from sslbench.spreads import SpreadReader
from sslbench.stats.crossed import crossed
from sslbench.stats.seeds import t_interval
from sslbench.stats.spread import Spread

COUNTS = ("parameters", "steps")  # of `pretrain`: written out in full
LEVEL = 0.95  # of the intervals over seeds
NORMAL = 1.959964  # standard deviations on either side that hold 95 %

Entry = dict[str, Any]  # a line of the frame
Bounds = tuple[float, float] | tuple[None, None]


@dataclass(frozen=True)
class Draft:
    """A cell whose footnotes have no numbers yet."""

    cell: Cell
    notes: list[str] = field(default_factory=list)
    complete: bool = True  # every planned seed has a value
    spreads: Mapping[int, Spread] = field(default_factory=dict)  # by seed; of a cost there is none


def draft_cell(column: Column, entries: Sequence[Entry], reader: SpreadReader) -> Draft:
    """A cell out of the frame's lines for it, one per seed."""
    done = [entry for entry in entries if entry["status"] == "done"]
    if not done:
        return _without_number(entries)
    is_cost = column.evaluation == PRETRAIN
    found = {} if is_cost else {int(e["seed"]): reader.spread(e) for e in done}
    spreads = {seed: spread for seed, spread in found.items() if spread is not None}
    return _draft(column, done, entries, spreads)


def draft_difference(
    column: Column, entries: Sequence[Entry], less: Sequence[Entry], reader: SpreadReader
) -> Draft:
    """The cell of ``a.top1 - b.top1``, seed by seed and test item by test item."""
    others = {entry["seed"]: entry for entry in less}
    both: list[Entry] = []
    spreads: dict[int, Spread] = {}
    for entry in entries:
        other = others.get(entry["seed"], {"status": "missing", "reason": ""})
        lost = next((e for e in (entry, other) if e["status"] != "done"), None)
        if lost is not None:
            both.append({**entry, "status": lost["status"], "reason": lost["reason"]})
            continue
        one, two = reader.spread(entry), reader.spread(other)
        value = entry["value"] - other["value"]
        both.append({**entry, "value": value, "low": math.nan, "high": math.nan})
        if one and two and entry["dataset"] == other["dataset"] and one.comparable(two):
            spreads[int(entry["seed"])] = one.minus(two)
    done = [entry for entry in both if entry["status"] == "done"]
    if not done:
        return _without_number(both)
    return _draft(column, done, both, spreads)


def _draft(
    column: Column, done: Sequence[Entry], entries: Sequence[Entry], spreads: dict[int, Spread]
) -> Draft:
    seeds = {int(entry["seed"]): float(entry["value"]) for entry in done}
    value = fmean(seeds.values())
    digits = digits_of(column, value)
    items = int(done[0]["n"])
    spread, level, interval = "", LEVEL, ""
    low, high = bounds(seeds, spreads)
    constant = column.evaluation == PRETRAIN and len(set(seeds.values())) == 1
    if constant:  # the size of an encoder has no interval
        low, high = None, None
    elif len(seeds) > 1:
        crossing = f" crossed with {items} test items" if spreads else ""
        interval = f"Student's t over {len(seeds)} seeds{crossing}"
    elif not math.isnan(done[0]["low"]):
        low, high, level = done[0]["low"], done[0]["high"], done[0]["level"]
        interval = done[0]["interval"]
    elif spreads:
        interval = f"paired over {items} test items"
    if low is not None and high is not None:
        in_brackets = f"[{written(low, digits)}, {written(high, digits)}]"
        spread = in_brackets if len(seeds) == 1 else f"± {written(high - value, digits)}"
    sign = "+" if column.less is not None and value >= 0 else ""
    cell = Cell(
        status="done",
        text=f"{sign}{written(value, digits)}",
        spread=spread,
        value=value,
        low=low,
        high=high,
        level=None if low is None else level,
        interval="" if low is None else interval,
        n=items,
        seeds=seeds,
        fingerprints=tuple(dict.fromkeys(e["fingerprint_sha256"] for e in done)),
    )
    lost = [entry for entry in entries if entry["status"] != "done"]
    notes = [
        f"seed {entry['seed']} {_fate(entry)}; the mean is over {len(done)} of {len(entries)} seeds"
        for entry in lost
    ]
    edges = dict.fromkeys(name for entry in done for name in str(entry["at_edge"]).split(", "))
    some = ", in one seed or more" if len(entries) > 1 else ""
    notes += [
        f"{setting} was chosen at an end of what was tried{some}: more may be possible."
        for setting in filter(None, edges)
    ]
    return Draft(cell, notes, complete=not lost, spreads=spreads)


def bounds(seeds: Mapping[int, float], spreads: Mapping[int, Spread]) -> Bounds:
    """(low, high) of the mean over seeds: crossed with test items where those are known."""
    if len(seeds) > 1 and len(spreads) == len(seeds):
        found = crossed(list(spreads.values()), LEVEL)
        return found.low, found.high
    if len(seeds) > 1:
        return t_interval(list(seeds.values()), LEVEL)
    for spread in spreads.values():
        half = NORMAL * math.sqrt(spread.variance())
        return spread.estimate - half, spread.estimate + half
    return None, None


def _without_number(entries: Sequence[Entry]) -> Draft:
    statuses = {entry["status"] for entry in entries}
    order: tuple[Status, ...] = ("failed", "excluded", "skipped")
    status: Status = next((s for s in order if s in statuses), "missing")
    text = NO_NUMBER if status == "missing" else status
    told = [entry for entry in entries if entry["status"] == status and entry["reason"]]
    reasons = list(dict.fromkeys(entry["reason"] for entry in told))
    if len(reasons) > 1:
        reasons = [f"seed {entry['seed']}: {entry['reason']}" for entry in told]
    return Draft(Cell(status=status, text=text), ["; ".join(reasons)] if reasons else [])


def _fate(entry: Entry) -> str:
    if entry["status"] == "missing":
        return "has not been run"
    return f"{entry['status']} ({entry['reason']})"


def with_difference(draft: Draft, first: Draft, column: Column) -> Draft:
    """The same cell with its difference from another row's, over the seeds that both have."""
    common = sorted(draft.cell.seeds.keys() & first.cell.seeds.keys())
    if not common:
        return draft
    differences = {seed: draft.cell.seeds[seed] - first.cell.seeds[seed] for seed in common}
    spreads = {}
    if draft.cell.fingerprints == first.cell.fingerprints:
        spreads = {
            seed: draft.spreads[seed].minus(first.spreads[seed])
            for seed in common
            if seed in draft.spreads and seed in first.spreads
        }
    mean = fmean(differences.values())
    digits = digits_of(column, first.cell.value or 0.0)
    sign = "+" if mean >= 0 else ""
    cell = replace(
        draft.cell,
        difference=Difference(mean, *bounds(differences, spreads)),
        difference_text=f"({sign}{written(mean, digits)})",
    )
    return replace(draft, cell=cell)


def marks_of(notes: Sequence[str], footnotes: list[str]) -> tuple[int, ...]:
    """The numbers of some notes; a note that is there already keeps its number."""
    for note in notes:
        if note not in footnotes:
            footnotes.append(note)
    return tuple(sorted(footnotes.index(note) + 1 for note in notes))


def numbered(draft: Draft, footnotes: list[str]) -> Cell:
    """The cell of a draft, with the numbers of its notes."""
    return replace(draft.cell, marks=marks_of(draft.notes, footnotes))


def digits_of(column: Column, value: float) -> int:
    """Decimals: one for percent, three for indices, three significant figures for costs."""
    if column.evaluation != PRETRAIN:
        return 1 if column.unit in ("%", POINTS) else 3
    if column.metric in COUNTS or value == 0:
        return 0
    return min(6, max(0, 2 - math.floor(math.log10(abs(value)))))


def written(value: float, digits: int) -> str:
    text = f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.removeprefix("-")
    return text.replace("-", MINUS)
