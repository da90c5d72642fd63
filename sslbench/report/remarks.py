"""The lines under a table that say how to read its numbers, and what they do not say."""

import re
from collections.abc import Sequence

from sslbench.report.comparable import TOLERANCE
from sslbench.report.frame import PRETRAIN
from sslbench.report.grid import TIE, Cell, Column, Leader, Line

ITEMS = re.compile(r"\d+(?= test items)")


def remarks(
    lines: Sequence[Line],
    columns: Sequence[Column],
    leaders: Sequence[Leader | None],
    ablation: bool,
    reference: str,
) -> tuple[str, ...]:
    """Only what applies to these lines; ``reference`` labels the row that others differ from."""
    own = [line for line in lines if line.kind != "reported"]
    cells = [cell for line in own for cell in line.cells]
    found: list[str] = []
    single = [cell for cell in cells if len(cell.seeds) == 1 and cell.low is not None]
    if single:
        found.append(
            f"In brackets: {_ways(single)}. With one seed an interval speaks of this run on other "
            "test images, not of the method trained again."
        )
    several = [cell for cell in cells if len(cell.seeds) > 1 and cell.spread]
    if several:
        found.append(f"±: half of the {_ways(several)}.")
    found += _comparison(columns, leaders, any(cell.bold for cell in cells))
    if any(column.peeks and column.less is None for column in columns):
        found.append(
            "Best on test: the test images themselves chose setting and epoch. For comparison with "
            "papers that did so; no row leads such a column."
        )
    differences = [column for column in columns if column.less is not None]
    if differences:
        listed = "; ".join(f"{column.title}: {_difference(column)}" for column in differences)
        found.append(f"Differences within a run, test item by test item. {listed}.")
    if ablation:
        first = next(line for line in own if line.kind == "method")
        found.append(f"Settings: those of {first.title!r}, and what differs in the other rows.")
    if reference:
        chosen = next(line for line in own if line.label == reference)
        found.append(f"In parentheses: the difference from {chosen.title!r}, seed by seed.")
    published = [cell for line in lines if line.kind == "reported" for cell in line.cells]
    if published:
        found.append("In italics: numbers out of publications, not measured here.")
    if any(cell.difference_text for cell in published):
        found.append(
            "Reproduced: the published number is inside the measured interval or within "
            f"{TOLERANCE:g} points; else by how much the measured number is off."
        )
    return tuple(found)


def _ways(cells: Sequence[Cell]) -> str:
    """How the intervals of some cells were made; what differs in the number of items is one way."""
    ways: dict[str, set[int]] = {}
    for cell in cells:
        percent = "" if cell.level is None else f"{100 * cell.level:g} % "
        way = f"{percent}interval" + (f", {cell.interval}" if cell.interval else "")
        number = ITEMS.search(way)
        ways.setdefault(ITEMS.sub("{}", way), set()).update([int(number[0])] if number else [])
    return "; ".join(way.replace("{}", _listed(sorted(ways[way]))) for way in sorted(ways))


def _listed(numbers: Sequence[int]) -> str:
    """``72, 2985 or 10000``."""
    *most, last = [str(number) for number in numbers] or [""]
    return f"{', '.join(most)} or {last}" if most else last


def _difference(column: Column) -> str:
    assert column.less is not None
    return f"{column.evaluation}.{column.metric} - {column.less.evaluation}.{column.less.metric}"


def _comparison(
    columns: Sequence[Column], leaders: Sequence[Leader | None], any_bold: bool
) -> list[str]:
    """What the tests say, of the methods or of these runs only."""
    compared = [(c, lead) for c, lead in zip(columns, leaders, strict=True) if lead is not None]
    found = []
    of_methods = [(c, lead) for c, lead in compared if lead.claim == "methods"]
    if of_methods:
        tests = _tests(of_methods)
        found.append(
            f"Bold: better than every other method of the column ({tests}, Holm's correction)."
            if any_bold
            else f"Nothing is bold: no method is better than every other of its column ({tests}, "
            "Holm's correction, three seeds or more)."
        )
    of_runs = [(c, lead) for c, lead in compared if lead.claim == "runs"]
    if of_runs:
        ahead: dict[str, list[str]] = {}
        for column, lead in of_runs:
            if lead.alone:
                ahead.setdefault(lead.title, []).append(column.title)
        told = "; ".join(f"{title} in {', '.join(titles)}" for title, titles in ahead.items())
        said = f"ahead of every other run is {told}" if told else "no run is ahead"
        found.append(
            f"Of these runs alone, not of the methods ({_tests(of_runs)}, Holm's correction): "
            f"{said}. {'None of it' if of_methods else 'Nothing'} is bold, for that takes several "
            "seeds."
        )
    if any(lead.tied for _, lead in compared):
        found.append(f"{TIE} ties: not told apart from the best of the column (p > 0.05).")
    return found


def _tests(compared: Sequence[tuple[Column, Leader]]) -> str:
    return ", ".join(dict.fromkeys(lead.test for _, lead in compared))


def has_scores(column: Column) -> bool:
    """Whether a column is a score, not a cost or a difference of two scores."""
    return column.evaluation != PRETRAIN and column.less is None
