"""Where each number of a table comes from: what the page shows when a cell is asked why.

Everything is a plain JSON type. Configurations stand once, with the runs; a cell names its runs.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sslbench.commands import AND, evaluates
from sslbench.config import flatten
from sslbench.report.frame import PRETRAIN
from sslbench.report.grid import Cell, Column, Line, Table
from sslbench.report.page.settings import shown
from sslbench.store import PlanFile, Row, Store

Facts = dict[str, Any]


def table_facts(table: Table, plan: PlanFile | None, store: Store) -> Facts:
    """Of one table: its columns, and its lines in their order, with their cells.

    Without a plan nothing was run: the table quotes.
    """
    columns = [
        {"title": column.heading, "what": _what(column), "better": _better(column)}
        for column in table.columns
    ]
    lines = [_line(table, number, plan, store) for number in range(len(table.lines))]
    change = "Interaction" if table.matrix else "Difference"
    return {"columns": columns, "lines": lines, "difference": change}


def _line(table: Table, number: int, plan: PlanFile | None, store: Store) -> Facts:
    line = table.lines[number]
    words = zip(table.headings, line.described, strict=True)
    facts: Facts = {"title": line.title, "label": line.label}
    facts["described"] = {heading: word for heading, word in words if word}
    if plan is None or line.kind == "reported":
        facts["cells"] = [_cell(table, line, cell) for cell in line.cells]
        return facts
    crossed = plan.crossing(table.name)
    if crossed is None:
        rows = [row for row in plan.rows if row.label == line.label]
        facts |= _origin(plan, rows)
    facts["cells"] = []
    for place, (column, cell) in enumerate(zip(table.columns, line.cells, strict=True)):
        said = _cell(table, line, cell)
        if said is not None and crossed is not None:  # each cell is of a row of its own
            rows = [row for row in plan.rows if row.label == crossed.cells[number][place]]
            said |= _origin(plan, rows)
        if said is not None and column.evaluation != PRETRAIN:
            said |= _records(column, cell, rows, store)
        facts["cells"].append(said)
    return facts


def _origin(plan: PlanFile, rows: Sequence[Row]) -> Facts:
    """The runs of a row by seed, and how to do them again."""
    if not rows:
        return {}
    runs = {str(row.seed): row.run for row in rows}
    return {"runs": runs, "redo": redo(plan.command, rows[0].label, [row.seed for row in rows])}


def _cell(table: Table, line: Line, cell: Cell) -> Facts | None:
    if not cell.text:
        return None
    facts: Facts = {"text": " ".join(filter(None, (cell.text, cell.spread))), "status": cell.status}
    if cell.value is not None:
        facts["value"] = cell.value
    if cell.seeds:
        facts["seeds"] = {str(seed): value for seed, value in sorted(cell.seeds.items())}
    if cell.low is not None and cell.high is not None:
        facts["low"], facts["high"] = cell.low, cell.high
        facts["level"], facts["interval"] = cell.level, cell.interval
    if cell.n:
        facts["n"] = cell.n
    if cell.difference is not None:
        change = cell.difference
        facts["difference"] = [change.value, change.low, change.high]
    for name, text in (("source", cell.source), ("verdict", cell.verdict)):
        if text:
            facts[name] = text
    marks = dict.fromkeys((*line.marks, *cell.marks))
    if marks:
        facts["notes"] = [table.footnotes[mark - 1] for mark in marks]
    if cell.fingerprints:
        facts["fingerprints"] = list(cell.fingerprints)
    return facts


def _records(column: Column, cell: Cell, rows: Sequence[Row], store: Store) -> Facts:
    """The records behind a cell by seed, and what was chosen on held-out images."""
    keys = [column.evaluation, *([column.less.evaluation] if column.less else [])]
    names: Facts = {}
    chosen: Facts = {}
    for row in rows:
        found = [row.evaluations[key] for key in keys if key in row.evaluations]
        if found and row.seed in cell.seeds:
            names[str(row.seed)] = found
            record = store.record(row.run, found[0])
            if record is not None and record.chosen:
                flat = flatten(record.chosen)
                chosen[str(row.seed)] = ", ".join(f"{k} = {shown(v)}" for k, v in flat.items())
    facts: Facts = {"records": names} if names else {}
    return facts | ({"chosen": chosen} if chosen else {})


def conditions(numbers: pd.DataFrame) -> dict[str, dict[str, str]]:
    """How a number was measured, by the digest of it: dotted keys and values."""
    known = numbers[numbers["fingerprint"] != ""].drop_duplicates("fingerprint_sha256")
    pairs = zip(known["fingerprint_sha256"], known["fingerprint"], strict=True)
    return {
        str(sha256): {key: shown(value) for key, value in flatten(json.loads(text)).items()}
        for sha256, text in sorted(pairs)
    }


def redo(command: str, label: str, seeds: Sequence[int]) -> str:
    """Of the commands that made a table the one for this row, alone if it is a suite's."""
    commands = command.split(AND)
    own = next((one for one in commands if evaluates(one, label)), commands[0])
    words = shlex.split(own)
    if words[:2] != ["sslbench", "run"]:
        return own
    kept: list[str] = []
    rest = iter(words)
    for piece in rest:
        if piece in ("--methods", "--seeds"):
            next(rest, None)
        else:
            kept.append(piece)
    kept += ["--methods", label, "--seeds", ",".join(map(str, seeds))]
    return shlex.join(kept)


def embedded(facts: Mapping[str, Any]) -> str:
    """JSON that may stand in a script element: no character of it can end the element."""
    text = json.dumps(facts, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _what(column: Column) -> str:
    own = f"{column.evaluation}.{column.metric}"
    return own if column.less is None else f"{own} - {column.less.evaluation}.{column.less.metric}"


def _better(column: Column) -> str:
    return "higher" if column.higher_is_better else "lower"
