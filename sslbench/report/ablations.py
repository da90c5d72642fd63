"""The pictures of a study: effects, heat maps, lines over numeric factors, gains by domain."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from sslbench.config import fingerprint
from sslbench.report.cells import digits_of
from sslbench.report.effects import effects, telling
from sslbench.report.grid import Cell, Line, Table
from sslbench.report.heat_map import Panel, Shade, heat_maps, matrix_panel
from sslbench.report.level_lines import Curves, level_lines
from sslbench.report.page.embed import draw_pictures
from sslbench.report.picture import Picture
from sslbench.report.places import apart, difference_text
from sslbench.report.remarks import has_scores
from sslbench.store import PICTURES, PlanFile, Store
from sslbench.study import FactorFacts, PartFacts

VERSION = 1  # bumped by hand when these pictures change, so that older ones are drawn again
LEAST_LEVELS = 3  # of a line by itself


def ablation_pictures(plan: PlanFile, tables: Sequence[Table]) -> list[Picture]:
    """Of the tables of a study's plan; none for a suite's, and none that would show no number."""
    known = {table.name: table for table in tables}
    found: list[Picture | None] = []
    parts = [] if plan.study is None else [p for p in plan.study.parts if p.name in known]
    for part in parts:
        table = known[part.name]
        crossings = [known[name] for name in part.interactions if name in known]
        if part.design == "single":
            found.append(_effects(part, table))
        else:
            found.append(_heat(part, [one for one in crossings if _has_numbers(one)]))
        found += [_lines(part, factor, table) for factor in part.factors]
    found.append(_gains(parts, known))
    return [picture for picture in found if picture is not None]


def write_ablation_pictures(store: Store, plan: PlanFile, tables: Sequence[Table]) -> list[Path]:
    """Draws them beside the study's tables, where they are not yet; returns the PNG files.

    Raises UnwritableError if the folder cannot be written.
    """
    folder = store.table_folder(plan.suite) / PICTURES
    drawn, _ = draw_pictures(ablation_pictures(plan, tables), folder)
    return [folder / f"{picture.name}.png" for picture in drawn]


def _picture(
    name: str,
    title: str,
    caption: str,
    alternative: str,
    drawn: Any,
    draw: Callable[[], Figure],
) -> Picture:
    inputs = fingerprint({"version": VERSION, "name": name, "drawn": drawn})
    return Picture(name, title, caption, alternative, inputs, draw)


def _has_numbers(table: Table) -> bool:
    return any(cell.value is not None for line in table.lines for cell in line.cells)


# ---- effects -----------------------------------------------------------------------------------


def _effects(part: PartFacts, table: Table) -> Picture | None:
    shown = telling(table)
    if not shown:
        return None
    base = _line(table, part.base)
    said = []
    for number in shown:
        column = table.columns[number]
        told = [
            f"{line.title} {_change(line.cells[number], table, number)}"
            for line in table.lines
            if line.kind == "method" and _is_apart(line.cells[number])
        ]
        said.append(
            f"{column.title}: {'; '.join(told) if told else 'nothing is told apart from it'}"
        )
    return _picture(
        f"{part.name}-effects",
        f"{table.caption}: differences from {base.title}",
        f"Each row is {base.title} with one thing changed; each dot its difference from it, seed "
        "by seed, with the 95 % interval. Filled: the interval leaves out 0. Under each panel: "
        f"what {base.title} itself has.",
        f"Differences from {base.title} whose interval leaves out 0. {'. '.join(said)}.",
        table.to_dict(),
        lambda: effects(table, part.base),
    )


def _is_apart(cell: Cell) -> bool:
    return cell.difference is not None and apart(cell.difference)


def _change(cell: Cell, table: Table, number: int) -> str:
    assert cell.difference is not None
    digits = digits_of(table.columns[number], cell.value or 0.0)
    return difference_text(cell.difference, digits, len(cell.seeds))


def _line(table: Table, label: str) -> Line:
    return next(line for line in table.lines if line.label == label and line.kind != "reported")


# ---- two factors -------------------------------------------------------------------------------


def _heat(part: PartFacts, tables: Sequence[Table]) -> Picture | None:
    if not tables:
        return None
    reference = part.reference if part.design == "crossed" else None
    panels = [matrix_panel(table, reference) for table in tables]
    said = []
    for table, panel in zip(tables, panels, strict=True):
        cells = [
            (cell.value, f"{line.title}, {column.title}")
            for line in table.lines
            for column, cell in zip(table.columns, line.cells, strict=True)
            if cell.value is not None
        ]
        best = (max if table.columns[0].higher_is_better else min)(cells)
        told = sum(_is_apart(cell) for line in table.lines for cell in line.cells)
        said.append(
            f"{panel.title}: the best is {best[0]:.1f} at {best[1]}; {told} interactions are told "
            "apart from none"
        )
    if part.design == "pairs":
        title = f"{part.factors[0].title.capitalize()}: alone and by two"
        measured = "on the diagonal each is alone"
    else:
        title = " by ".join(factor.title for factor in part.factors).capitalize()
        measured = "the frame is the base, or what stands for it"
    return _picture(
        f"{part.name}-heat-map",
        title,
        f"Each cell is a score, the darker the higher; {measured}. In parentheses: what the two "
        "give together beyond the sum of what each gives alone, with its 95 % interval; bold where "
        "that leaves out 0.",
        f"{'. '.join(said)}.",
        [[table.to_dict() for table in tables], reference],
        lambda: heat_maps(panels),
    )


# ---- numbers as levels -------------------------------------------------------------------------


def _lines(part: PartFacts, factor: FactorFacts, table: Table) -> Picture | None:
    """Scores over the levels of a numeric factor; None for any other."""
    values = [level.value for level in factor.levels]
    if not all(_is_number(value) for value in values) or part.design == "pairs":
        return None
    own = factor.own if _is_number(factor.own) else None
    labels: Mapping[str, Sequence[tuple[float, str]]]
    others = ""
    if part.design == "crossed":
        other = next(one for one in part.factors if one.title != factor.title)
        across = part.factors[0].title == factor.title
        if _rank(factor) < _rank(other) + (not across):
            return None  # the other one has the axis
        others = other.title
        labels = {
            level.title: [
                (float(value), part.cells[i][j] if across else part.cells[j][i])
                for i, value in enumerate(values)
            ]
            for j, level in enumerate(other.levels)
        }
    else:
        points = {float(level.value): level.label for level in factor.levels}
        if own is not None:
            points[float(own)] = part.base
        if len(points) < LEAST_LEVELS:
            return None
        labels = {"": sorted(points.items())}
    panels = [
        Curves(
            column.title,
            column.unit,
            {
                name: [(level, _line(table, label).cells[number]) for level, label in sorted(some)]
                for name, some in labels.items()
            },
            None if own is None else float(own),
        )
        for number, column in enumerate(table.columns)
        if has_scores(column)
    ]
    panels = [p for p in panels if any(c.value is not None for s in p.lines.values() for _, c in s)]
    if not panels:
        return None
    by = f", a line per {others}" if others else ""
    return _picture(
        f"{part.name}-{'-'.join(factor.title.split())}",
        f"Scores over {factor.title}{by}",
        f"Mean over seeds, with 95 % intervals; dotted: the base's {factor.title}.",
        f"{'. '.join(map(_told, panels))}.",
        [table.to_dict(), part.model_dump(mode="json"), factor.title],
        lambda: level_lines(panels, factor.title, others),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _rank(factor: FactorFacts) -> int:
    """How much a factor has to show on an axis; nothing if its levels are no numbers."""
    numeric = all(_is_number(level.value) for level in factor.levels)
    return len(factor.levels) if numeric else 0


def _told(panel: Curves) -> str:
    said = []
    for name, points in panel.lines.items():
        values = ", ".join(f"{cell.text} at {level:g}" for level, cell in points)
        said.append(f"{name}: {values}" if name else values)
    return f"{panel.title}: {'; '.join(said)}"


# ---- parts side by side ------------------------------------------------------------------------


def _gains(parts: Sequence[PartFacts], tables: Mapping[str, Table]) -> Picture | None:
    """Differences from each part's own base, where all parts vary the same: domains, methods."""
    if len(parts) < 2 or any(part.design != "single" for part in parts):
        return None
    levels = [[(f.title, x.title) for f in part.factors for x in f.levels] for part in parts]
    if any(other != levels[0] for other in levels[1:]):
        return None
    labels = [[x.label for f in part.factors for x in f.levels] for part in parts]
    scores = [
        {c.title: n for n, c in enumerate(tables[part.name].columns) if has_scores(c)}
        for part in parts
    ]
    panels, drawn = [], []
    for title in [t for t in scores[0] if all(t in other for other in scores[1:])]:
        shades = tuple(
            tuple(
                _gain(tables[part.name], labels[n][row], scores[n][title])
                for n, part in enumerate(parts)
            )
            for row in range(len(levels[0]))
        )
        if all(shade.value is None for row in shades for shade in row):
            continue
        columns = tuple(part.name for part in parts)
        rows = tuple(level for _, level in levels[0])
        panels.append(Panel(title, rows, columns, shades, changes=True))
        drawn.append([[[s.value, s.text, s.strong] for s in row] for row in shades])
    if not panels:
        return None
    factor = parts[0].factors[0].title
    return _picture(
        "gains",
        f"Gain or loss by {factor}, side by side",
        "Each cell is a difference from the base of its own column: blue gains, orange loses. "
        "Bold: the 95 % interval leaves out 0.",
        f"{'. '.join(map(_best_gains, panels))}.",
        [drawn, [panel.title for panel in panels], levels[0]],
        lambda: heat_maps(panels),
    )


def _gain(table: Table, label: str, number: int) -> Shade:
    cell = _line(table, label).cells[number]
    if cell.difference is None:
        return Shade(None, cell.text)
    return Shade(cell.difference.value, _change(cell, table, number), strong=apart(cell.difference))


def _best_gains(panel: Panel) -> str:
    said = []
    for n, domain in enumerate(panel.columns):
        found = [
            (shade.value, row, shade.text)
            for row, shades in zip(panel.rows, panel.shades, strict=True)
            if (shade := shades[n]) is not None and shade.value is not None
        ]
        if found:
            _, row, text = max(found)
            said.append(f"on {domain} {row} gains most ({text})")
    return f"{panel.title}: {'; '.join(said)}"
