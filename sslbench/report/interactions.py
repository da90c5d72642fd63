"""Two factors at once: one score as a matrix of levels, and how far they depend on each other.

The interaction of two levels is what they give together beyond the sum of what each gives alone:
score of both, less that with only the one, less that with only the other, plus that with neither
(Montgomery, "Design and Analysis of Experiments", section 5.1). It is taken seed by seed and test
item by test item, so its interval is that of the contrast and not of four separate numbers.
"""

from dataclasses import dataclass, replace
from statistics import fmean

from sslbench.report.cells import Draft, bounds, digits_of, draft_cell, numbered
from sslbench.report.columns import Entries, is_of
from sslbench.report.fingerprints import differences, refuse_mixed
from sslbench.report.grid import Cell, Column, Difference, Line, Provenance, Table
from sslbench.report.places import difference_text, reading
from sslbench.report.remarks import remarks
from sslbench.spreads import SpreadReader
from sslbench.store import PlanFile
from sslbench.study import PartFacts
from sslbench.suite import TableConfig

BLANK = Cell(status="missing", text="")


@dataclass(frozen=True)
class Crossing:
    """Levels by levels, each crossing with the label of its row."""

    rows: tuple[str, ...]  # titles
    columns: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    reference: str  # what interactions are measured from, in words
    symmetric: bool  # levels of one factor: the upper half says what the lower says

    def without(self, i: int, j: int, part: PartFacts) -> tuple[str, str, str] | None:
        """The labels with only the one level, only the other, and neither.

        None where there is nothing to compare: at the reference's own levels, on the diagonal.
        """
        if self.symmetric:
            return None if i == j else (self.labels[i][i], self.labels[j][j], part.base)
        one, two = part.reference
        if i == one or j == two:
            return None
        return self.labels[i][two], self.labels[one][j], self.labels[one][two]


def crossing(part: PartFacts) -> Crossing:
    """Of a part whose design is crossed or pairs."""
    if part.design == "pairs":
        titles = tuple(level.title for level in part.factors[0].levels)
        base = next(place.title for place in part.places if place.label == part.base)
        return Crossing(titles, titles, part.cells, f"{base} with none of them", True)
    one, two = part.factors
    rows = tuple(f"{one.title}: {level.title}" for level in one.levels)
    columns = tuple(f"{two.title}: {level.title}" for level in two.levels)
    reference = f"{rows[part.reference[0]]}, {columns[part.reference[1]]}"
    return Crossing(rows, columns, part.cells, reference, False)


def interaction_table(
    plan: PlanFile,
    part: PartFacts,
    name: str,
    config: TableConfig,
    column: Column,
    entries: Entries,
    reader: SpreadReader,
    provenance: Provenance,
) -> Table:
    """One score of a crossed part; in parentheses the interactions, with their intervals.

    Raises StoreError as ``draft_cell`` does, and for numbers that were not measured alike, unless
    the table's ``mixed`` allows it.
    """
    crossed = crossing(part)
    labels = dict.fromkeys([part.base, *(label for row in crossed.labels for label in row)])
    chosen = {
        label: [e for e in entries.get((label, column.evaluation), []) if is_of(e, column)]
        for label in labels
    }
    unlike = differences(entry for some in chosen.values() for entry in some)
    if not config.mixed:
        refuse_mixed(name, column.title, unlike)
    drafts = {label: draft_cell(column, some, reader) for label, some in chosen.items()}
    for other in unlike:
        drafts[other.label].notes.append(f"seed {other.seed}: measured with {other.keys}")
    footnotes: list[str] = []
    lines = []
    for i, title in enumerate(crossed.rows):
        cells = []
        for j, label in enumerate(crossed.labels[i]):
            if crossed.symmetric and j > i:
                cells.append(BLANK)
                continue
            others = crossed.without(i, j, part)
            draft = drafts[label]
            if others is not None:
                one, two, neither = (drafts[other] for other in others)
                found = interaction(draft, one, two, neither)
                draft = _with(draft, found, column)
            cells.append(numbered(draft, footnotes))
        runs = tuple(row.run for row in plan.rows if row.label in crossed.labels[i])
        lines.append(Line("method", f"{part.name}: {title}", title, (), tuple(cells), (), runs))
    columns = tuple(replace(column, title=title) for title in crossed.columns)
    nobody = (None,) * len(columns)
    said = remarks(lines, columns, nobody, False, "")
    return Table(
        suite=plan.suite,
        name=name,
        title=plan.title,
        caption=config.caption,
        headings=(),
        columns=columns,
        lines=tuple(lines),
        footnotes=tuple(footnotes),
        leaders=nobody,
        ranking=None,
        remarks=(*said, _explained(crossed), *reading(lines, "interaction")),
        provenance=provenance,
        matrix=True,
    )


def interaction(both: Draft, one: Draft, two: Draft, neither: Draft) -> Difference | None:
    """both - one - two + neither, over the seeds that all have; None if there is no such seed."""
    all_four = (both, one, two, neither)
    common = set.intersection(*(set(draft.cell.seeds) for draft in all_four))
    if not common:
        return None
    values, spreads = {}, {}
    alike = len({draft.cell.fingerprints for draft in all_four}) == 1
    for seed in sorted(common):
        a, b, c, d = (draft.cell.seeds[seed] for draft in all_four)
        values[seed] = a - b - c + d
        if alike and all(seed in draft.spreads for draft in all_four):
            p, q, r, s = (draft.spreads[seed] for draft in all_four)
            spreads[seed] = p.minus(q).minus(r.minus(s))
    return Difference(fmean(values.values()), *bounds(values, spreads))


def _with(draft: Draft, found: Difference | None, column: Column) -> Draft:
    """The same cell with its interaction."""
    if found is None:
        return draft
    digits = digits_of(column, draft.cell.value or 0.0)
    text = f"({difference_text(found, digits, len(draft.cell.seeds))})"
    return replace(draft, cell=replace(draft.cell, difference=found, difference_text=text))


def _explained(crossed: Crossing) -> str:
    both = "two levels" if crossed.symmetric else "row and column"
    return (
        f"In parentheses: the interaction, what {both} give together beyond the sum of what each "
        f"gives alone, measured from {crossed.reference}; seed by seed and test item by test item."
    )
