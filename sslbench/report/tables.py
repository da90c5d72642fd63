"""The frame of a plan -> a table: a row per label over its seeds, a column per score.

Rows never vanish. The untrained encoder stands above the methods and the supervised one below,
each behind a rule; both are there to compare with and are never the best of a column. A table's
``against`` names the row from which every other says its difference; without it the rows of an
ablation, which are of one method, say theirs from the first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from sslbench.errors import ConfigError
from sslbench.report.cells import (
    Draft,
    Entry,
    draft_cell,
    draft_difference,
    marks_of,
    numbered,
    with_difference,
)
from sslbench.report.columns import Entries, build_column, by_row, is_of, is_unmeasured
from sslbench.report.describe import described, shares_method
from sslbench.report.fingerprints import differences, refuse_mixed
from sslbench.report.frame import PRETRAIN
from sslbench.report.grid import Column, Leader, Line, Provenance, Table
from sslbench.report.interactions import interaction_table
from sslbench.report.order import group_of, in_order, kind_of, reference_of
from sslbench.report.places import groups, placed_rows, reading, with_intervals
from sslbench.report.published import (
    Beside,
    compare,
    incomparable,
    published_line,
    with_verdicts,
)
from sslbench.report.ranking import ranking
from sslbench.report.remarks import has_scores, remarks
from sslbench.report.reported import Quoted
from sslbench.run import BASELINES
from sslbench.spreads import SpreadReader
from sslbench.stats.standing import standing
from sslbench.store import PlanFile, Row
from sslbench.suite import TableConfig

UNMEASURED = "No evaluation of this suite measures it."
_UNCOMPARED = "Not compared with the best: it has other seeds, or other test items."
LEAST_SEEDS = 3  # of bold: with two, equal methods that vary much are told apart in 9 % of tables


def build_table(
    frame: pd.DataFrame,
    plan: PlanFile,
    name: str,
    config: TableConfig,
    reader: SpreadReader,
    quoted: Sequence[Quoted] = (),
) -> Table:
    """The table called ``name`` out of ``frame(store, plan)`` and the spreads of its records.

    Raises ConfigError for a column that no evaluation or metric has, StoreError for a spread that
    is not the record's, and for a column whose numbers were not measured alike, unless the table's
    ``mixed`` allows it; each such cell is then marked.
    """
    if not config.columns:
        raise ConfigError(f"table {name!r} has no columns, such as 'kNN top-1: knn.top1'")
    rows = in_order(plan, config.group)
    part = plan.part(name)
    if part is not None:
        rows = placed_rows(rows, part)
    factors = {} if part is None else groups(part)
    reference = reference_of(rows, name, config.against)
    entries = by_row(frame)
    columns = [build_column(title, key, name, entries) for title, key in config.columns.items()]
    crossed = plan.crossing(name)
    if crossed is not None:
        provenance = _provenance(frame, plan, columns)
        return interaction_table(
            plan, crossed, name, config, columns[0], entries, reader, provenance
        )
    drafted = [
        _draft_column(name, column, rows, entries, reader, config, reference) for column in columns
    ]
    drafts, leaders = [cells for cells, _ in drafted], tuple(leader for _, leader in drafted)
    if part is not None:
        drafts = with_intervals(drafts, columns)
    health = _health(rows, entries) if any(map(has_scores, columns)) else {}
    headings, words = described(rows, config.describe, health, titled=part is not None)
    beside = {
        label: compare(label, columns, [column[n] for column in drafts], entries, quoted)
        for n, label in enumerate(rows)
    }
    apart = incomparable(beside)
    footnotes: list[str] = []
    lines: list[Line] = []
    for number, (label, some) in enumerate(rows.items()):
        row_notes = list(dict.fromkeys(note for row in some for note in row.notes))
        marks = marks_of(["; ".join(row_notes)] if row_notes else [], footnotes)
        cells = [numbered(column[number], footnotes) for column in drafts]
        runs = tuple(row.run for row in some)
        described_by = tuple(words[label])
        kind = kind_of(label)
        group = group_of(some[0], config.group) if config.group and kind == "method" else ""
        group = factors.get(label, group)
        line = Line(kind, label, some[0].title, described_by, tuple(cells), marks, runs, group)
        lines.append(with_verdicts(line, beside[label]))
        if config.reported:
            lines += _published(lines[-1], beside[label], apart, footnotes)
    said = remarks(lines, columns, leaders, shares_method(rows), reference)
    ranks, why = ranking(lines, columns, _datasets(entries))
    return Table(
        suite=plan.suite,
        name=name,
        title=plan.title,
        caption=config.caption,
        headings=tuple(headings),
        columns=tuple(columns),
        lines=tuple(lines),
        footnotes=tuple(footnotes),
        leaders=leaders,
        ranking=ranks,
        remarks=(*said, *why, *(reading(lines) if part is not None else ())),
        provenance=_provenance(frame, plan, columns),
    )


def _datasets(entries: Entries) -> dict[str, str]:
    """What each evaluation measured on."""
    return {
        e["evaluation"]: e["dataset"] for some in entries.values() for e in some if e["dataset"]
    }


def _health(rows: Mapping[str, list[Row]], entries: Entries) -> dict[str, list[str]]:
    """The verdicts of each row's runs, one per seed that has one."""
    found = {}
    for label in rows:
        words = {e["seed"]: e["health"] for e in entries.get((label, PRETRAIN), []) if e["health"]}
        found[label] = list(words.values()) if label != "random" else []
    return found


# ---- columns ----------------------------------------------------------------------------------


def _draft_column(
    table: str,
    column: Column,
    rows: Mapping[str, list[Row]],
    entries: Entries,
    reader: SpreadReader,
    config: TableConfig,
    reference: str,
) -> tuple[list[Draft], Leader | None]:
    """The cells of a column in the order of the rows, the best marked, the differences taken."""
    chosen = {label: _entries(entries, label, column) for label in rows}
    less = {label: _entries(entries, label, column.less) for label in rows if column.less}
    unlike = [
        difference
        for side in (chosen, less)
        for difference in differences(entry for some in side.values() for entry in some)
    ]
    if not config.mixed:
        refuse_mixed(table, column.title, unlike)
    drafts = [
        draft_difference(column, some, less[label], reader)
        if column.less
        else draft_cell(column, some, reader)
        for label, some in chosen.items()
    ]
    if is_unmeasured(column):
        for draft in drafts:
            draft.notes.append(UNMEASURED)
    for number, label in enumerate(rows):
        for difference in unlike:
            if difference.label == label:
                several = f"seed {difference.seed}: " if len(rows[label]) > 1 else ""
                drafts[number].notes.append(f"{several}measured with {difference.keys}")
    methods = [n for n, label in enumerate(rows) if label not in BASELINES]
    leader = None
    # Cost depends on the machine and on what else it did; unlike numbers have no order, nor have
    # those that peeked, and a difference of two scores is neither good nor bad.
    if has_scores(column) and not unlike and not column.peeks:
        leader = _compare(column, drafts, [n for n in methods if drafts[n].spreads], rows)
    if reference and column.less is None:
        first = list(rows).index(reference)
        # The baselines of an ablation are far away from all of its rows.
        for number in range(len(drafts)) if config.against else methods:
            if number != first:
                drafts[number] = with_difference(drafts[number], drafts[first], column)
    return drafts, leader


def _entries(entries: Entries, label: str, column: Column) -> list[Entry]:
    return [e for e in entries.get((label, column.evaluation), []) if is_of(e, column)]


def _compare(
    column: Column, drafts: list[Draft], candidates: Sequence[int], rows: Mapping[str, list[Row]]
) -> Leader | None:
    """Marks the best cell, or all that are not told apart from it; says how surely."""
    found = standing([drafts[n].spreads for n in candidates], column.higher_is_better)
    if found is None:
        return None
    best = candidates[found.best]
    tied = [candidates[position] for position in found.tied]
    for number in [best, *tied] if tied else []:
        drafts[number] = replace(drafts[number], cell=replace(drafts[number].cell, tied=True))
    for number in (candidates[position] for position in found.uncompared):
        drafts[number].notes.append(_UNCOMPARED)
    compared = [n for p, n in enumerate(candidates) if p not in found.uncompared]
    seeds = min(len(drafts[number].spreads) for number in compared)
    enough = found.claim == "methods" and seeds >= LEAST_SEEDS
    if found.alone and enough and drafts[best].complete:
        drafts[best] = replace(drafts[best], cell=replace(drafts[best].cell, bold=True))
    labels, titles = list(rows), [some[0].title for some in rows.values()]
    p_values = zip(candidates, found.p_values, strict=True)
    return Leader(
        title=titles[best],
        tied=tuple(titles[number] for number in tied),
        alone=found.alone,
        claim=found.claim,
        test=found.test,
        p_values={labels[number]: p for number, p in p_values if p is not None},
    )


# ---- lines ------------------------------------------------------------------------------------


def _published(
    line: Line, found: Sequence[Beside | None], apart: str, footnotes: list[str]
) -> list[Line]:
    """What is published of the row, to stand below it; no line where nothing is quoted."""
    below, notes = published_line(line, found)
    if all(cell.value is None for cell in below.cells):
        return []
    cells = []
    for cell, own, beside in zip(below.cells, notes, found, strict=True):
        unlike = beside is not None and beside.verdict is not None and beside.verdict.reasons
        marked = [*own, apart] if own and unlike else own
        cells.append(replace(cell, marks=marks_of(marked, footnotes)))
    return [replace(below, cells=tuple(cells))]


def _provenance(frame: pd.DataFrame, plan: PlanFile, columns: Sequence[Column]) -> Provenance:
    used = frame[frame["evaluation"].isin([PRETRAIN, *(c.evaluation for c in columns)])]
    recorded = used[used["status"].isin(["done", "failed"])]
    return Provenance(
        command=plan.command,
        runs=int(recorded["run"].nunique()),
        planned=len({row.run for row in plan.rows}),
        commits=tuple(sorted({c for c in recorded["commit"] if c})),
        machines=tuple(sorted({m for m in recorded["machine"] if m})),
    )
