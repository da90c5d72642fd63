"""The frame of a plan -> a table: a row per label over its seeds, a column per score.

Rows never vanish. The untrained encoder stands above the methods and the supervised one below,
each behind a rule; both are there to compare with and are never the best of a column.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from sslbench.errors import ConfigError
from sslbench.report.cells import Draft, Entry, draft_cell, draft_difference, with_difference
from sslbench.report.columns import Entries, build_column, is_of
from sslbench.report.describe import described, shares_method
from sslbench.report.fingerprints import differences, refuse_mixed
from sslbench.report.frame import PRETRAIN
from sslbench.report.grid import Cell, Column, Kind, Leader, Line, Provenance, Table
from sslbench.report.ranking import ranking
from sslbench.report.remarks import has_scores, remarks
from sslbench.report.reported import Quoted, nearest_quoted
from sslbench.run import BASELINES
from sslbench.spreads import SpreadReader
from sslbench.stats.standing import standing
from sslbench.store import PlanFile, Row
from sslbench.suite import TableConfig

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
    rows = _in_order(plan)
    entries: Entries = {}
    for entry in frame.to_dict("records"):
        known = {str(key): value for key, value in entry.items()}
        entries.setdefault((known["label"], known["evaluation"]), []).append(known)
    columns = [build_column(title, key, name, entries) for title, key in config.columns.items()]
    drafted = [
        _draft_column(name, column, rows, entries, reader, config.mixed) for column in columns
    ]
    drafts, leaders = [cells for cells, _ in drafted], tuple(leader for _, leader in drafted)
    health = _health(rows, entries) if any(map(has_scores, columns)) else {}
    headings, words = described(rows, config.describe, health)
    footnotes: list[str] = []
    lines: list[Line] = []
    for number, (label, some) in enumerate(rows.items()):
        row_notes = list(dict.fromkeys(note for row in some for note in row.notes))
        marks = _marks(["; ".join(row_notes)] if row_notes else [], footnotes)
        cells = [_numbered(column[number], footnotes) for column in drafts]
        runs = tuple(row.run for row in some)
        described_by = tuple(words[label])
        kind = _kind(label)
        lines.append(Line(kind, label, some[0].title, described_by, tuple(cells), marks, runs))
        if config.reported:
            lines += _reported_line(lines[-1], columns, entries, quoted, footnotes)
    said = remarks(lines, columns, leaders, bool(shares_method(rows)))
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
        remarks=(*said, *why),
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


def _kind(label: str) -> Kind:
    if label == "random":
        return "random"
    return "supervised" if label == "supervised" else "method"


def _in_order(plan: PlanFile) -> dict[str, list[Row]]:
    """The plan's rows by label, a row per seed: random, the methods as planned, supervised."""
    rows: dict[str, list[Row]] = {}
    for row in plan.rows:
        rows.setdefault(row.label, []).append(row)
    order = sorted(rows, key=lambda label: ("random", "method", "supervised").index(_kind(label)))
    return {label: rows[label] for label in order}


# ---- columns ----------------------------------------------------------------------------------


def _draft_column(
    table: str,
    column: Column,
    rows: Mapping[str, list[Row]],
    entries: Entries,
    reader: SpreadReader,
    mixed: bool,
) -> tuple[list[Draft], Leader | None]:
    """The cells of a column in the order of the rows, the best marked, the differences taken."""
    chosen = {label: _entries(entries, label, column) for label in rows}
    less = {label: _entries(entries, label, column.less) for label in rows if column.less}
    unlike = [
        difference
        for side in (chosen, less)
        for difference in differences(entry for some in side.values() for entry in some)
    ]
    if not mixed:
        refuse_mixed(table, column.title, unlike)
    drafts = [
        draft_difference(column, some, less[label], reader)
        if column.less
        else draft_cell(column, some, reader)
        for label, some in chosen.items()
    ]
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
    if shares_method(rows) and column.less is None:
        first = drafts[methods[0]]
        for number in methods[1:]:
            drafts[number] = with_difference(drafts[number], first, column)
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
    seeds = min(len(drafts[number].spreads) for number in candidates)
    enough = found.claim == "methods" and seeds >= LEAST_SEEDS
    if found.alone and enough and drafts[best].complete:
        drafts[best] = replace(drafts[best], cell=replace(drafts[best].cell, bold=True))
    labels, titles = list(rows), [some[0].title for some in rows.values()]
    p_values = zip(candidates, found.p_values, strict=True)
    return Leader(
        title=titles[best],
        tied=tuple(titles[number] for number in tied),
        claim=found.claim,
        test=found.test,
        p_values={labels[number]: p for number, p in p_values if p is not None},
    )


# ---- lines ------------------------------------------------------------------------------------


def _marks(notes: Sequence[str], footnotes: list[str]) -> tuple[int, ...]:
    """The numbers of some notes; a note that is there already keeps its number."""
    for note in notes:
        if note not in footnotes:
            footnotes.append(note)
    return tuple(sorted(footnotes.index(note) + 1 for note in notes))


def _numbered(draft: Draft, footnotes: list[str]) -> Cell:
    return replace(draft.cell, marks=_marks(draft.notes, footnotes))


def _reported_line(
    line: Line,
    columns: Sequence[Column],
    entries: Entries,
    quoted: Sequence[Quoted],
    footnotes: list[str],
) -> list[Line]:
    """What the method's paper says, below the row; no line where nothing is quoted."""
    cells = []
    for column in columns:
        first = next(iter(entries.get((line.label, column.evaluation), [])), None)
        found = first and nearest_quoted(
            quoted,
            line.label,
            f"{first['plugin']}/{first['dataset']}",
            column.metric,
            first["encoder"],
            int(first["epochs"]),
        )
        if not found:
            cells.append(Cell(status="missing", text=""))
            continue
        marks = _marks([found.footnote], footnotes)
        cells.append(Cell("done", found.text, value=found.value, marks=marks, source=found.source))
    if all(cell.value is None for cell in cells):
        return []
    blank = ("",) * len(line.described)
    return [Line("reported", line.label, f"{line.title}, published", blank, tuple(cells))]


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
