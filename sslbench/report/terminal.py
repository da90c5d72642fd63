"""A table for a terminal, by rich."""

from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from sslbench.report.grid import TIE, Cell, Line, Table
from sslbench.report.notations import superscript

UNBOUND = 10_000  # columns: wider than any table


@dataclass(frozen=True)
class TerminalTable:
    """The table and the lines below it; the descriptive columns go where the terminal is narrow."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = _shown(self.table, described=True)
        width = console.measure(whole, options=options.update(width=UNBOUND)).maximum
        yield whole if width <= options.max_width else _shown(self.table, described=False)
        notes = enumerate(self.table.footnotes, start=1)
        below = [f"{superscript(str(number))} {note}" for number, note in notes]
        yield Text("\n".join([*below, *self.table.remarks]), style="dim")


def _shown(table: Table, described: bool) -> RichTable:
    """Text only, never markup: a title may hold brackets."""
    shown = RichTable(
        title=Text(table.full_title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD
    )
    words = 1 + len(table.headings)
    dropped = range(0) if described else range(1, words)
    for number, heading in enumerate(table.all_headings):
        if number not in dropped:
            justify: JustifyMethod = "left" if number < words else "right"
            shown.add_column(Text(heading), justify=justify, no_wrap=number == 0)
    for block in table.blocks:
        if block[0].group:
            shown.add_row(Text(block[0].group, style="italic"))
        for line in block:
            texts = enumerate(_texts(line, table.is_measured))
            cells = [text for number, text in texts if number not in dropped]
            shown.add_row(*cells, end_section=line is block[-1])
    return shown


def _texts(line: Line, apart: bool) -> list[Text]:
    style = "italic dim" if line.kind == "reported" and apart else ""
    title = Text(line.title, style=style)
    title.append(superscript(",".join(map(str, line.marks))))
    return [title, *(Text(word, style=style) for word in line.described)] + [
        _cell(cell, style) for cell in line.cells
    ]


def _cell(cell: Cell, style: str) -> Text:
    failed = "red" if cell.status == "failed" else ""
    text = Text(cell.text, style="bold" if cell.bold else style or failed)
    if cell.tied:
        text.append(TIE, style="dim")
    for part in (cell.spread, cell.difference_text):
        if part:
            text.append(f" {part}", style="dim")
    text.append(superscript(",".join(map(str, cell.marks))))
    return text
