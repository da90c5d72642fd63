"""A table for a terminal, by rich."""

from rich import box
from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

from sslbench.report.grid import Cell, Line, Table
from sslbench.report.notations import superscript


def rich_table(table: Table) -> Group:
    """The table and the lines below it. Text only, never markup: a title may hold brackets."""
    shown = RichTable(
        title=Text(table.full_title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD
    )
    words = 1 + len(table.headings)
    for number, heading in enumerate(table.all_headings):
        shown.add_column(Text(heading), justify="left" if number < words else "right")
    for block in table.blocks:
        for line in block:
            shown.add_row(*_texts(line), end_section=line is block[-1])
    below = [f"{superscript(str(n))} {note}" for n, note in enumerate(table.footnotes, start=1)]
    return Group(shown, Text("\n".join([*below, *table.remarks]), style="dim"))


def _texts(line: Line) -> list[Text]:
    style = "italic dim" if line.kind == "reported" else ""
    title = Text(line.title, style=style)
    title.append(superscript(",".join(map(str, line.marks))))
    return [title, *(Text(word, style=style) for word in line.described)] + [
        _cell(cell, style) for cell in line.cells
    ]


def _cell(cell: Cell, style: str) -> Text:
    failed = "red" if cell.status == "failed" else ""
    text = Text(cell.text, style="bold" if cell.bold else style or failed)
    for part in (cell.spread, cell.difference_text):
        if part:
            text.append(f" {part}", style="dim")
    text.append(superscript(",".join(map(str, cell.marks))))
    return text
