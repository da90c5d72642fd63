"""What is published of a table's rows, beside what was measured of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sslbench.report.cells import Draft
from sslbench.report.columns import Entries, is_of, is_unmeasured
from sslbench.report.comparable import Measured, Verdict, nearest, verdict
from sslbench.report.frame import PRETRAIN
from sslbench.report.grid import Cell, Column, Line
from sslbench.report.reported import Quoted
from sslbench.run import BASELINES


@dataclass(frozen=True)
class Beside:
    """The published number nearest to a cell."""

    quoted: Quoted
    here: bool  # of the very evaluation of the column, not of another data set
    verdict: Verdict | None  # None where nothing was measured


def compare(
    label: str,
    columns: Sequence[Column],
    drafts: Sequence[Draft],
    entries: Entries,
    quoted: Sequence[Quoted],
) -> list[Beside | None]:
    """By column, what is published of a row; ``quoted`` may hold other labels' numbers too."""
    own = [q for q in quoted if q.label == label]
    pairs = zip(columns, drafts, strict=True)
    return [_beside(label, column, draft, entries, own) for column, draft in pairs]


def _beside(
    label: str, column: Column, draft: Draft, entries: Entries, own: Sequence[Quoted]
) -> Beside | None:
    if column.evaluation == PRETRAIN or column.less is not None:
        return None
    some = [e for e in entries.get((label, column.evaluation), []) if is_of(e, column)]
    if is_unmeasured(column):  # of the run its training is known all the same
        plugin, _, dataset = column.evaluation.partition("/")
        facts = {"plugin": plugin, "dataset": dataset, "fingerprint": ""}
        some = [{**e, **facts} for e in entries.get((label, PRETRAIN), [])]
    if not some or not own:
        return None
    entry = next((e for e in some if e["status"] == "done"), some[0])
    cell = draft.cell
    measured = Measured(
        label=label,
        plugin=entry["plugin"],
        dataset=entry["dataset"],
        metric=column.metric,
        value=cell.value if cell.value is not None else 0.0,
        low=cell.low,
        high=cell.high,
        unit=column.unit,
        training=json.loads(entry["training"] or "{}"),
        fingerprint=json.loads(entry["fingerprint"] or "{}"),
    )
    found = nearest(measured, own)
    if found is None:
        return None
    here = found.evaluation == f"{measured.plugin}/{measured.dataset}"
    if label in BASELINES and not here:
        return None
    return Beside(found, here, None if cell.value is None else verdict(measured, found))


def incomparable(found: Mapping[str, Sequence[Beside | None]]) -> str:
    """One footnote for all cells of a table that cannot be compared, or "" if there are none."""
    reasons = [
        reason.kind
        for row in found.values()
        for beside in row
        if beside is not None and beside.here and beside.verdict is not None
        for reason in beside.verdict.reasons
    ]
    kinds = ", ".join(dict.fromkeys(reasons))
    return kinds and f"Not comparable with the number above it: {kinds}. The CSV says which where."


def with_verdicts(line: Line, found: Sequence[Beside | None]) -> Line:
    """A measured line whose cells say how they stand to what is published."""
    pairs = zip(line.cells, found, strict=True)
    cells = [
        replace(cell, verdict=beside.verdict.text) if beside and beside.verdict else cell
        for cell, beside in pairs
    ]
    return replace(line, cells=tuple(cells))


def published_line(line: Line, found: Sequence[Beside | None]) -> tuple[Line, list[list[str]]]:
    """The line below a measured one, and the footnotes of its cells, which have no numbers yet."""
    cells: list[Cell] = []
    notes: list[list[str]] = []
    for beside in found:
        if beside is None or not beside.here:
            cells.append(Cell(status="missing", text=""))
            notes.append([])
            continue
        quoted, said = beside.quoted, beside.verdict
        short = f"({said.short})" if said is not None and said.short else ""
        cells.append(
            Cell(
                "done",
                quoted.text,
                value=quoted.value,
                difference_text=short,
                source=quoted.source,
                verdict=said.text if said is not None else "",
            )
        )
        notes.append([quoted.footnote])
    blank = ("",) * len(line.described)
    title = f"{line.title}, published"
    return (
        Line("reported", line.label, title, blank, tuple(cells), group=line.group),
        notes,
    )
