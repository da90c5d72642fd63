"""The lines under a table that say how to read its numbers, and what they do not say."""

from collections.abc import Sequence

from sslbench.report.frame import PRETRAIN
from sslbench.report.grid import Column, Line


def remarks(lines: Sequence[Line], columns: Sequence[Column], ablation: bool) -> tuple[str, ...]:
    """Only what applies to these lines."""
    own = [line for line in lines if line.kind != "reported"]
    pairs = [
        (column, cell) for line in own for column, cell in zip(columns, line.cells, strict=True)
    ]
    found: list[str] = []
    single = [cell for _, cell in pairs if len(cell.seeds) == 1 and cell.low is not None]
    if single:
        how = "; ".join(sorted({_how(cell.level, cell.interval) for cell in single}))
        found.append(
            f"In brackets: {how}. With one seed an interval speaks of this run on other test "
            "images, not of the method trained again."
        )
    if any(len(cell.seeds) > 1 and cell.spread for _, cell in pairs):
        found.append("±: half of the 95 % interval of the mean over seeds, by Student's t.")
    scores = {n for n, column in enumerate(columns) if column.evaluation != PRETRAIN}
    methods = [line for line in own if line.kind == "method"]
    compared = any(sum(bool(line.cells[n].seeds) for line in methods) > 1 for n in scores)
    if compared:
        found.append(_bold(any(cell.bold for _, cell in pairs), bool(single)))
    if ablation:
        found.append(
            f"Settings: those of {methods[0].title!r}, and what differs in the other rows. In "
            "parentheses: the difference from it, seed by seed."
        )
    if any(line.kind == "reported" for line in lines):
        found.append("In italics: numbers out of publications, not measured here.")
    return tuple(found)


def _how(level: float | None, method: str) -> str:
    percent = "" if level is None else f"{100 * level:g} % "
    return f"{percent}interval" + (f", {method}" if method else "")


def _bold(any_bold: bool, single: bool) -> str:
    how = (
        "its interval overlaps no other method's"
        if single
        else "paired t-tests over the seeds, Holm's correction"
    )
    if any_bold:
        return f"Bold: better than every other method of the column ({how})."
    return f"Nothing is bold: no method is better than every other of its column ({how})."
