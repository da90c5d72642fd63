"""A table in Markdown, LaTeX and CSV. The same table gives the same bytes."""

import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sslbench.report.grid import MINUS, NO_NUMBER, TIE, Cell, Column, Leader, Line, Table

PAGE = 40  # lines of a table that fit on a page in LaTeX
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    NO_NUMBER: "--",
    MINUS: "$-$",
    TIE: r"\dag{}",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
}


@dataclass(frozen=True)
class Notation:
    """How one notation writes a piece of text."""

    escape: Callable[[str], str]
    bold: str
    italic: str
    mark: Callable[[str], str]

    def marked(self, text: str, marks: tuple[int, ...]) -> str:
        return text + (self.mark(",".join(map(str, marks))) if marks else "")

    def cell(self, cell: Cell) -> str:
        text = self.escape(cell.text)
        if cell.bold:
            text = self.bold.format(text)
        if cell.tied:
            text += self.escape(TIE)
        rest = " ".join(part for part in (cell.spread, cell.difference_text) if part)
        if rest:
            text += " " + self.escape(rest)
        return text

    def line(self, line: Line, apart: bool = True) -> list[str]:
        """The texts of a row; ``apart`` sets published numbers in italics."""
        texts = [self.escape(line.title), *map(self.escape, line.described)]
        texts += [self.cell(cell) for cell in line.cells]
        if line.kind == "reported" and apart:
            texts = [self.italic.format(text) if text else "" for text in texts]
        marks = [line.marks, *[()] * len(line.described), *(cell.marks for cell in line.cells)]
        return [self.marked(text, mark) for text, mark in zip(texts, marks, strict=True)]


def superscript(numbers: str) -> str:
    return numbers.translate(_SUPERSCRIPT)


def escape_markdown(text: str) -> str:
    """Text that GitHub's Markdown shows as it is, in a cell too."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"[\\`*|$~]|\](?=[(\[:])", r"\\\g<0>", text)
    # Within a word an underscore is itself; elsewhere it emphasises.
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)


def escape_latex(text: str) -> str:
    text = " ".join(text.split())
    # Two hyphens in a row would become a dash.
    return "".join(
        "-{}" if (one, following) == ("-", "-") else _LATEX.get(one, one)
        for one, following in pairwise(f"{text} ")
    )


MARKDOWN = Notation(escape_markdown, "**{}**", "*{}*", superscript)
LATEX = Notation(
    escape_latex, r"\textbf{{{}}}", r"\textit{{{}}}", lambda n: rf"\textsuperscript{{{n}}}"
)


def markdown(table: Table) -> str:
    headings = [escape_markdown(heading) for heading in table.all_headings]
    rows = [headings]
    for number, block in enumerate(table.blocks):
        group = block[0].group
        if group:
            rows.append([f"*{escape_markdown(group)}*", *[""] * (len(headings) - 1)])
        elif number:
            rows.append([""] * len(headings))  # the rule that this notation lacks
        rows += [MARKDOWN.line(line, table.is_measured) for line in block]
    words = 1 + len(table.headings)
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(headings))]

    def joined(row: list[str]) -> str:
        padded = [
            text.ljust(width) if column < words else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * width if column < words else "-" * (width - 1) + ":"
        for column, width in enumerate(widths)
    ]
    parts = [f"**{escape_markdown(table.full_title)}**"]
    parts.append("\n".join(joined(row) for row in [rows[0], rule, *rows[1:]]))
    if table.footnotes:
        listed = enumerate(table.footnotes, start=1)
        parts.append("\n".join(f"{number}. {escape_markdown(note)}" for number, note in listed))
    parts += [escape_markdown(remark) for remark in table.remarks]
    parts.append(escape_markdown(table.provenance.sentence))
    return "\n\n".join(parts) + "\n"


def latex(table: Table) -> str:
    label = re.sub(r"[^A-Za-z0-9]+", "-", f"{table.suite}-{table.name}")
    alignment = "l" * (1 + len(table.headings)) + "r" * len(table.columns)
    caption = rf"\caption{{{escape_latex(table.full_title)}}}"
    named = rf"\label{{tab:{label}}}"
    head = [r"\toprule", " & ".join(map(escape_latex, table.all_headings)) + r" \\"]
    rows: list[str] = []
    for block in table.blocks:
        rows.append(r"\midrule")
        if block[0].group:
            width = len(table.all_headings)
            group = escape_latex(block[0].group)
            rows.append(rf"\multicolumn{{{width}}}{{l}}{{\emph{{{group}}}}} \\")
        texts = [LATEX.line(line, table.is_measured) for line in block]
        rows += [_protected(" & ".join(text)) + r" \\" for text in texts]
    rows.append(r"\bottomrule")
    notes = [
        *(
            rf"\textsuperscript{{{number}}}~{escape_latex(note)}\par"
            for number, note in enumerate(table.footnotes, start=1)
        ),
        *(rf"{escape_latex(remark)}\par" for remark in table.remarks),
    ]
    if len(table.lines) > PAGE:
        parts = [
            "% needs \\usepackage{booktabs,longtable}",
            rf"\begin{{longtable}}{{{alignment}}}",
            rf"{caption}{named}\\",
            *head,
            r"\endfirsthead",
            *head,
            r"\midrule",
            r"\endhead",
            *rows,
            r"\end{longtable}",
            r"{\footnotesize\raggedright",
            *notes,
            "}",
        ]
    else:
        parts = [
            "% needs \\usepackage{booktabs}",
            r"\begin{table}[t]",
            r"\centering",
            caption,
            named,
            rf"\begin{{tabular}}{{{alignment}}}",
            *head,
            *rows,
            r"\end{tabular}",
            "",
            r"\smallskip",
            r"\begin{minipage}{\linewidth}\footnotesize\raggedright",
            *notes,
            r"\end{minipage}",
            r"\end{table}",
        ]
    return "\n".join([*parts, ""])


def _protected(row: str) -> str:
    """Behind the line break of the row above, a bracket would be read as a length."""
    return f"{{}}{row}" if row.startswith("[") else row


def comma_separated(table: Table) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _fields(table), lineterminator="\n")
    writer.writeheader()
    for line in table.lines:
        for column, leader, cell in zip(table.columns, table.leaders, line.cells, strict=True):
            writer.writerow(_values(table, line, column, leader, cell))
    return text.getvalue()


def _fields(table: Table) -> list[str]:
    line, cell = table.lines[0], table.lines[0].cells[0]
    return list(_values(table, line, table.columns[0], None, cell))


def _values(
    table: Table, line: Line, column: Column, leader: Leader | None, cell: Cell
) -> dict[str, Any]:
    """Of a column's leader only where the line took part in the comparison."""
    if line.kind != "method":
        leader = None
    change = cell.difference
    marks = dict.fromkeys((*line.marks, *cell.marks))
    words = zip(table.headings, line.described, strict=True)
    return {
        "kind": line.kind,
        "label": line.label,
        "title": line.title,
        "group": line.group,
        **{f"described: {heading}": value for heading, value in words},
        "column": column.title,
        "evaluation": column.evaluation,
        "metric": column.metric,
        "less": column.less and f"{column.less.evaluation}.{column.less.metric}",
        "unit": column.unit,
        "status": cell.status,
        "value": cell.value,
        "low": cell.low,
        "high": cell.high,
        "level": cell.level,
        "interval": cell.interval,
        "test_items": cell.n,
        "seeds": len(cell.seeds),
        "separable_best": "yes" if cell.bold else "no",
        "tied_for_best": "yes" if cell.tied else "no",
        "p_value_against_best": leader and leader.p_values.get(line.label),
        "test": leader and leader.test,
        "claim": leader and leader.claim,
        "difference": change and change.value,
        "difference_low": change and change.low,
        "difference_high": change and change.high,
        "source": cell.source,
        "verdict": cell.verdict,
        "notes": " | ".join(table.footnotes[mark - 1] for mark in marks),
    }
