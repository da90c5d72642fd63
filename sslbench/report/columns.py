"""What a table's column stands for: one score, the difference of two, or a cost."""

import difflib
import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from sslbench.errors import ConfigError
from sslbench.report.frame import COST_UNITS, PRETRAIN
from sslbench.report.grid import Column

Entries = dict[tuple[str, str], list[dict[str, Any]]]  # the frame's lines by label and evaluation

POINTS = "points"  # the unit of a difference of percentages
MINUS = " - "


def by_row(numbers: pd.DataFrame) -> Entries:
    """The frame's lines, in their order, by label and evaluation."""
    entries: Entries = {}
    for entry in numbers.to_dict("records"):
        known = {str(key): value for key, value in entry.items()}
        entries.setdefault((known["label"], known["evaluation"]), []).append(known)
    return entries


def build_column(title: str, key: str, table: str, entries: Entries) -> Column:
    """``knn.top1``, ``pretrain.seconds``, or ``a.top1 - b.top1`` of two evaluations of one run.

    ``svm/voc2007.map``, PLUGIN/DATASET.METRIC, is of whichever evaluation measures that; while the
    suite has none its cells are empty, and what is published can stand beside them.

    Raises ConfigError for an evaluation, a metric or a cost that there is none of.
    """
    first, minus, second = key.partition(MINUS)
    column = _single(title, first.strip(), table, entries)
    if not minus:
        return column
    less = _single(title, second.strip(), table, entries)
    where = f"table {table!r}, column {title!r}: {key!r}"
    if PRETRAIN in (column.evaluation, less.evaluation):
        raise ConfigError(f"{where}: costs have no difference; name two scores")
    if column.unit and less.unit and column.unit != less.unit:
        raise ConfigError(f"{where}: {column.unit} less {less.unit} is nothing")
    unit = POINTS if column.unit == "%" else column.unit
    return Column(title, column.evaluation, column.metric, unit, column.higher_is_better, less)


def _single(title: str, key: str, table: str, entries: Entries) -> Column:
    evaluation, dot, metric = key.partition(".")
    where = f"table {table!r}, column {title!r}: {key!r}"
    if not dot or not metric:
        raise ConfigError(f"{where}: expected EVALUATION.METRIC, such as knn.top1")
    evaluations = list(dict.fromkeys(found for _, found in entries))
    if "/" in evaluation:
        there = [e for some in entries.values() for e in some if measures(e) == evaluation]
        if not there:
            return Column(title, evaluation, metric, "%")
        evaluation = there[0]["evaluation"]
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
    peeks = any(json.loads(e["fingerprint"] or "{}").get("selection") == "paper" for e in found)
    for entry in found:
        if entry["metric"] == metric:
            unit, higher = entry["unit"], entry["higher_is_better"]
            return Column(title, evaluation, metric, unit, higher, peeks=peeks)
    return Column(title, evaluation, metric)  # nothing measured yet


def measures(entry: Mapping[str, Any]) -> str:
    """What a line of the frame is of: PLUGIN/DATASET."""
    return f"{entry['plugin']}/{entry['dataset']}"


def is_unmeasured(column: Column) -> bool:
    """Whether no evaluation of the suite is of a column."""
    return "/" in column.evaluation


def is_of(entry: Mapping[str, Any], column: Column) -> bool:
    """Whether a line of the frame speaks of a column: its metric, or a status for all metrics."""
    return entry["metric"] in (column.metric, "")


def _hint(given: str, known: list[str]) -> str:
    close = difflib.get_close_matches(given, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{given!r}.{hint} Known: {', '.join(known)}"
