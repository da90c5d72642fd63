"""A table in HTML: plain elements with classes, to be styled and sorted by the page around it.

Classes of a cell are its status, and ``reported``, ``bold``, ``tied`` or ``number``; a row has its
kind. ``data-value`` holds a number in full, for sorting. The same table gives the same bytes.
"""

import re
from html import escape

from sslbench.report.grid import TIE, Cell, Column, Line, Table


def html(table: Table) -> str:
    """The table in a region that scrolls, and the lines below it; all text is escaped.

    The table's ``id`` is ``table-SUITE-NAME``. A row names its label in ``data-label``, so that
    what is published of a method is found beside it; a number names its column by ``data-column``,
    counted from 0, and a heading says by ``data-better`` whether more is better.
    """
    name = identifier(table)
    width = len(table.all_headings)
    headings = table.all_headings[: 1 + len(table.headings)]
    parts = [
        f'<div class="table-scroll" role="region" aria-labelledby="{name}-caption" tabindex="0">',
        f'<table id="{name}">',
        f'<caption id="{name}-caption">{escape(table.full_title)}</caption>',
        "<thead>",
        "<tr>",
        *(f'<th scope="col">{escape(heading)}</th>' for heading in headings),
        *(_heading(number, column) for number, column in enumerate(table.columns)),
        "</tr>",
        "</thead>",
    ]
    for block in table.blocks:
        parts.append("<tbody>")
        group = block[0].group
        if group:
            heading = f'<th scope="rowgroup" colspan="{width}">{escape(group)}</th>'
            parts.append(f'<tr class="group">{heading}</tr>')
        parts += [part for line in block for part in _line(name, line, table.is_measured)]
        parts.append("</tbody>")
    parts += ["</table>", "</div>"]
    if table.footnotes:
        parts.append('<ol class="footnotes">')
        notes = enumerate(table.footnotes, start=1)
        parts += [f'<li id="{name}-note-{number}">{escape(note)}</li>' for number, note in notes]
        parts.append("</ol>")
    parts += [f'<p class="remark">{escape(remark)}</p>' for remark in table.remarks]
    parts.append(f'<p class="provenance">{escape(table.provenance.sentence)}</p>')
    return "\n".join([*parts, ""])


STYLE = """\
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; }
body > * { margin-inline: 1rem; }
.table-scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { font-weight: bold; text-align: left; padding: 0.4rem 0; }
th, td { padding: 0.2rem 0.6rem; text-align: left; white-space: nowrap; font-weight: normal; }
.number { text-align: right; }
thead th { white-space: normal; vertical-align: bottom; }
.whole { white-space: nowrap; }
thead { border-top: 2px solid; border-bottom: 1px solid; }
tbody { border-bottom: 1px solid #bbb; }
.group th { font-style: italic; padding-top: 0.6rem; }
.spread, .difference { color: #555; }
.remark, .provenance, .footnotes { max-width: 60rem; font-size: 0.9em; }
"""


def document(table: Table) -> str:
    """The table as a page of its own: no script, nothing from elsewhere."""
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(table.full_title)}</title>",
        f"<style>\n{STYLE}</style>",
        "</head>",
        "<body>",
    ]
    return "\n".join([*parts, f"{html(table)}</body>", "</html>", ""])


def identifier(table: Table) -> str:
    """The ``id`` of a table's element: letters, digits and hyphens."""
    return re.sub(r"[^A-Za-z0-9]+", "-", f"table-{table.suite}-{table.name}")


def _heading(number: int, column: Column) -> str:
    better = "higher" if column.higher_is_better else "lower"
    return (
        f'<th scope="col" class="number" data-column="{number}" data-better="{better}">'
        f"{_unbroken(column.heading)}</th>"
    )


def _unbroken(text: str) -> str:
    """Escaped, and a browser breaks no word at its hyphen."""
    return re.sub(r"\S+-\S+", r'<span class="whole">\g<0></span>', escape(text))


def _line(table: str, line: Line, apart: bool) -> list[str]:
    title = escape(line.title) + _marks(table, line.marks)
    return [
        f'<tr class="{line.kind}" data-label="{escape(line.label)}">',
        f'<th scope="row">{title}</th>',
        *(f"<td>{escape(word)}</td>" for word in line.described),
        *(_cell(table, line, number, cell, apart) for number, cell in enumerate(line.cells)),
        "</tr>",
    ]


def _cell(table: str, line: Line, number: int, cell: Cell, apart: bool) -> str:
    classes = ["number", cell.status]
    classes += ["reported"] if line.kind == "reported" else []
    classes += ["bold"] if cell.bold else []
    classes += ["tied"] if cell.tied else []
    facts = [f'class="{" ".join(classes)}"', f'data-column="{number}"']
    facts += [] if cell.value is None else [f'data-value="{cell.value!r}"']
    facts += [f'data-verdict="{escape(cell.verdict)}"'] if cell.verdict else []
    text = escape(cell.text)
    if cell.bold:
        text = f"<strong>{text}</strong>"
    elif line.kind == "reported" and apart and text:
        text = f"<em>{text}</em>"
    if cell.tied:
        text += f'<abbr title="not told apart from the best of the column">{TIE}</abbr>'
    for name, part in (("spread", cell.spread), ("difference", cell.difference_text)):
        if part:
            text += f' <span class="{name}">{escape(part)}</span>'
    return f"<td {' '.join(facts)}>{text}{_marks(table, cell.marks)}</td>"


def _marks(table: str, marks: tuple[int, ...]) -> str:
    if not marks:
        return ""
    links = ",".join(
        f'<a href="#{table}-note-{mark}" aria-label="note {mark}">{mark}</a>' for mark in marks
    )
    return f"<sup>{links}</sup>"
