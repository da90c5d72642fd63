"""The frame of a plan -> a table: a row per label over its seeds, a column per score.

Rows never vanish. The untrained encoder stands above the methods and the supervised one below,
each behind a rule; both are there to compare with and are never the best of a column.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from sslbench.errors import ConfigError
from sslbench.report.cells import Draft, draft_cell, sample, with_difference
from sslbench.report.describe import described, shares_method
from sslbench.report.fingerprints import differences, refuse_mixed
from sslbench.report.frame import COST_UNITS, PRETRAIN
from sslbench.report.grid import Cell, Column, Kind, Line, Provenance, Table
from sslbench.report.remarks import remarks
from sslbench.report.reported import Quoted, nearest_quoted
from sslbench.run import BASELINES
from sslbench.stats.separable import separable_best
from sslbench.store import PlanFile, Row
from sslbench.suite import TableConfig

Entries = dict[tuple[str, str], list[dict[str, Any]]]  # the frame's lines by label and evaluation


def build_table(
    frame: pd.DataFrame,
    plan: PlanFile,
    name: str,
    config: TableConfig,
    quoted: Sequence[Quoted] = (),
    mixed: bool = False,
) -> Table:
    """The table called ``name`` out of ``frame(store, plan)``.

    Raises ConfigError for a column that no evaluation or metric has, StoreError for a column whose
    numbers were not measured alike, unless ``mixed`` allows it; each such cell is then marked.
    """
    if not config.columns:
        raise ConfigError(f"table {name!r} has no columns, such as 'kNN top-1: knn.top1'")
    rows = _in_order(plan)
    entries: Entries = {}
    for entry in frame.to_dict("records"):
        known = {str(key): value for key, value in entry.items()}
        entries.setdefault((known["label"], known["evaluation"]), []).append(known)
    columns = [_column(title, key, name, entries) for title, key in config.columns.items()]
    drafts = [_draft_column(name, column, rows, entries, mixed) for column in columns]
    headings, words = described(rows, config.describe)
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
    return Table(
        suite=plan.suite,
        name=name,
        title=plan.title,
        caption=config.caption,
        headings=tuple(headings),
        columns=tuple(columns),
        lines=tuple(lines),
        footnotes=tuple(footnotes),
        remarks=remarks(lines, columns, bool(shares_method(rows))),
        provenance=_provenance(frame, plan, columns),
    )


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


def _column(title: str, key: str, table: str, entries: Entries) -> Column:
    evaluation, dot, metric = key.partition(".")
    where = f"table {table!r}, column {title!r}: {key!r}"
    if not dot or not metric:
        raise ConfigError(f"{where}: expected EVALUATION.METRIC, such as knn.top1")
    evaluations = list(dict.fromkeys(found for _, found in entries))
    if evaluation not in evaluations:
        raise ConfigError(f"{where}: no evaluation {_hint(evaluation, evaluations)}")
    if evaluation == PRETRAIN:
        if metric not in COST_UNITS:
            raise ConfigError(f"{where}: no cost {_hint(metric, list(COST_UNITS))}")
        return Column(title, evaluation, metric, *COST_UNITS[metric])
    found = [e for (_, key), some in entries.items() if key == evaluation for e in some]
    metrics = list(dict.fromkeys(entry["metric"] for entry in found if entry["metric"]))
    if metrics and metric not in metrics:
        raise ConfigError(f"{where}: {evaluation} has no metric {_hint(metric, metrics)}")
    for entry in found:
        if entry["metric"] == metric:
            return Column(title, evaluation, metric, entry["unit"], entry["higher_is_better"])
    return Column(title, evaluation, metric)  # nothing measured yet


def _hint(given: str, known: list[str]) -> str:
    close = difflib.get_close_matches(given, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{given!r}.{hint} Known: {', '.join(known)}"


def _draft_column(
    table: str, column: Column, rows: Mapping[str, list[Row]], entries: Entries, mixed: bool
) -> list[Draft]:
    """The cells of a column in the order of the rows, the best marked, the differences taken."""
    chosen = {
        label: [e for e in entries.get((label, column.evaluation), []) if _is_of(e, column)]
        for label in rows
    }
    unlike = differences(entry for some in chosen.values() for entry in some)
    if not mixed:
        refuse_mixed(table, column.title, unlike)
    drafts = [draft_cell(column, some) for some in chosen.values()]
    for number, label in enumerate(rows):
        for difference in unlike:
            if difference.label == label:
                several = f"seed {difference.seed}: " if len(rows[label]) > 1 else ""
                drafts[number].notes.append(f"{several}measured with {difference.keys}")
    methods = [n for n, label in enumerate(rows) if label not in BASELINES]
    # Cost depends on the machine and on what else it did, and unlike numbers have no order.
    if column.evaluation != PRETRAIN and not unlike:
        _mark_best(column, drafts, [n for n in methods if drafts[n].cell.seeds])
    if shares_method(rows):
        first = drafts[methods[0]]
        for number in methods[1:]:
            drafts[number] = with_difference(drafts[number], first, column)
    return drafts


def _is_of(entry: Mapping[str, Any], column: Column) -> bool:
    return entry["metric"] in (column.metric, "")


def _mark_best(column: Column, drafts: list[Draft], candidates: Sequence[int]) -> None:
    samples = [sample(drafts[number].cell) for number in candidates]
    best = separable_best(samples, column.higher_is_better)
    if best is None or not drafts[candidates[best]].complete:
        return
    draft = drafts[candidates[best]]
    drafts[candidates[best]] = replace(draft, cell=replace(draft.cell, bold=True))


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
