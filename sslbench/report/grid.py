"""What a table is, before it is written in any notation."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any, Literal

from sslbench.report.frame import Status

NO_NUMBER = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
TIE = "\N{DAGGER}"

Kind = Literal["random", "method", "reported", "supervised"]
_BLOCKS: dict[Kind, int] = {"random": 0, "method": 1, "reported": 1, "supervised": 2}


@dataclass(frozen=True)
class Column:
    """One score, or one cost."""

    title: str
    evaluation: str  # the suite's key, or "pretrain"
    metric: str
    unit: str = ""
    higher_is_better: bool = True
    less: "Column | None" = None  # what is taken off it, of the same run
    peeks: bool = False  # its settings were chosen on the test images

    @property
    def heading(self) -> str:
        title = f"{self.title}, best on test" if self.peeks and self.less is None else self.title
        return f"{title} ({self.unit})" if self.unit else title


@dataclass(frozen=True)
class Difference:
    """From a chosen row: the mean over common seeds, with its interval where there are several."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Cell:
    """One number, or why there is none."""

    status: Status
    text: str  # 45.1, failed, NO_NUMBER
    spread: str = ""  # [43.0, 47.2] or ± 2.1
    value: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None  # of the interval
    interval: str = ""  # how it was made
    n: int = 0  # test items behind each seed's value
    seeds: Mapping[int, float] = field(default_factory=dict)  # the value of each
    difference: Difference | None = None
    difference_text: str = ""
    bold: bool = False  # better than every other method
    tied: bool = False  # not told apart from the best, or the best that others are not told from
    marks: tuple[int, ...] = ()  # footnotes
    source: str = ""  # of a quoted number
    verdict: str = ""  # measured beside published; on the cells of both lines
    fingerprints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Leader:
    """Who leads a column, and how surely."""

    title: str
    tied: tuple[str, ...]  # titles of the rows that are not told apart from it
    alone: bool  # told apart from all others
    claim: Literal["runs", "methods"]  # of these runs, or of the methods trained again
    test: str
    p_values: Mapping[str, float]  # against the leader, by label, after Holm's correction


@dataclass(frozen=True)
class Ranking:
    """Mean ranks of methods over data sets; rank 1 is the best."""

    datasets: tuple[str, ...]
    mean_ranks: Mapping[str, float]  # by title
    critical_difference: float | None  # of mean ranks; None where the test has none
    p_value: float
    test: str
    groups: tuple[tuple[str, ...], ...]  # titles that are not told apart


@dataclass(frozen=True)
class Line:
    """One row: what it is, what describes it, its numbers."""

    kind: Kind
    label: str
    title: str
    described: tuple[str, ...]
    cells: tuple[Cell, ...]
    marks: tuple[int, ...] = ()
    runs: tuple[str, ...] = ()
    group: str = ""  # the lines of one group stand together, under its name


@dataclass(frozen=True)
class Provenance:
    """Where the numbers came from, by the records alone."""

    command: str
    runs: int  # with at least one record
    planned: int
    commits: tuple[str, ...]
    machines: tuple[str, ...]
    quoted: int = 0  # numbers of a table that holds no other

    @property
    def sentence(self) -> str:
        if self.quoted:
            told = f"{self.quoted} numbers out of publications, none measured here"
            return f"{told}. Command: {self.command}"
        known = f"{self.runs}" if self.runs == self.planned else f"{self.runs} of {self.planned}"
        parts = [f"From the records of {known} run{'' if self.planned == 1 else 's'}"]
        if self.commits:
            parts.append(f"commit{_s(self.commits)} {', '.join(self.commits)}")
        if self.machines:
            parts.append(f"machine{_s(self.machines)} {'; '.join(self.machines)}")
        return f"{'; '.join(parts)}. Command: {self.command}"


@dataclass(frozen=True)
class Table:
    """Lines and columns, and all that stands around them."""

    suite: str
    name: str
    title: str
    caption: str
    headings: tuple[str, ...]  # of the columns that describe
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    footnotes: tuple[str, ...]
    leaders: tuple[Leader | None, ...]  # by column; None where nothing was compared
    ranking: Ranking | None
    remarks: tuple[str, ...]  # how to read the numbers
    provenance: Provenance
    matrix: bool = False  # lines and columns are levels of two factors, all cells one score

    @property
    def full_title(self) -> str:
        return f"{self.title}: {self.caption or self.name}"

    @property
    def all_headings(self) -> list[str]:
        first = "" if self.matrix else "Method"
        return [first, *self.headings, *(column.heading for column in self.columns)]

    @property
    def is_measured(self) -> bool:
        """Whether any number was measured; if so, those out of publications are set apart."""
        return any(line.kind != "reported" for line in self.lines)

    @property
    def blocks(self) -> list[list[Line]]:
        """The lines between two rules: the baselines stand apart, and so does each group."""
        grouped = groupby(self.lines, lambda line: (_BLOCKS[line.kind], line.group))
        return [list(block) for _, block in grouped]

    # The notations are imported where they are used: each needs this file.

    def to_markdown(self) -> str:
        from sslbench.report.notations import markdown

        return markdown(self)

    def to_latex(self) -> str:
        """A ``table``, or a ``longtable`` where it fills more than a page; needs booktabs."""
        from sslbench.report.notations import latex

        return latex(self)

    def to_html(self) -> str:
        """A page of its own, with the least of styles and no script."""
        from sslbench.report.html_table import document

        return document(self)

    def to_csv(self) -> str:
        """A line per row and column, values in full, no comments."""
        from sslbench.report.notations import comma_separated

        return comma_separated(self)

    def to_rich(self) -> Any:
        """What ``rich.print`` shows in a terminal: the table and the lines below it."""
        from sslbench.report.terminal import TerminalTable

        return TerminalTable(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain JSON types."""
        tree: dict[str, Any] = asdict(self)
        return tree


def _s(items: tuple[str, ...]) -> str:
    return "" if len(items) == 1 else "s"
