"""Whether tables and pages that were written still say what their records give.

The same records give the same bytes, so a difference is an edit, or a record that came later.
"""

from itertools import zip_longest
from pathlib import Path
from textwrap import shorten

from sslbench.errors import SSLBenchError
from sslbench.report.html_table import html, identifier
from sslbench.report.page.build import report_page
from sslbench.report.reported import read_reported
from sslbench.report.sound import SoundStore, sound_frame
from sslbench.report.tables import build_table
from sslbench.report.write import notations, planned_suite, table_config
from sslbench.store import Store

_WIDTH = 160  # of a line that is quoted


def differences(store: Store, suite: str, reported: Path | None) -> list[str]:
    """A line for each file of a suite that says otherwise; what was not written is no difference.

    ``reported`` is the folder of quoted numbers. Raises StoreError if the suite has not been run.
    """
    plan = planned_suite(store, suite)
    sound = SoundStore(store.root)
    numbers, quoted = sound_frame(sound, plan), read_reported(reported)
    if sound.excluded:  # no table is made of these, and whoever verifies is told of them
        return []
    found = []
    pages = {path: path.read_text(encoding="utf-8") for path in _pages(store, suite)}
    for name in plan.tables:
        try:
            table = build_table(numbers, plan, name, table_config(plan, name), sound.reader, quoted)
        except SSLBenchError:  # there is no table to compare, which is told elsewhere
            continue
        for ending, text in notations(table).items():
            path = store.table_folder(suite) / f"{name}.{ending}"
            given = path.read_text(encoding="utf-8") if path.is_file() else text
            if given != text:
                where = _unlike(given, text)
                found.append(
                    f"{sound.relative(path)}, {where}. `sslbench table {suite}` writes it anew"
                )
        again = _of_page(html(table), identifier(table))
        for path, page in pages.items():
            given = _of_page(page, identifier(table))
            if given != again:
                where = _unlike(given, again)
                found.append(
                    f"{sound.relative(path)}, table {name}, {where}. `sslbench report "
                    f"{path.parent.name.replace('+', ' ')}` writes it anew"
                )
    return found


def _pages(store: Store, suite: str) -> list[Path]:
    """Those that hold the suite, alone or with others."""
    alone = report_page(store, suite)
    pages = sorted(alone.parent.parent.glob(f"*/{alone.name}"))
    return [path for path in pages if suite in path.parent.name.split("+")]


def _of_page(page: str, table: str) -> str:
    """A table's markup as it stands in a page; nothing if it is not there."""
    _, opened, rest = page.partition(f'<table id="{table}">')
    body, closed, _ = rest.partition("</table>")
    return f"{opened}{body}{closed}" if opened and closed else ""


def _unlike(given: str, again: str) -> str:
    """The first line that differs."""
    pairs = zip_longest(given.splitlines(), again.splitlines(), fillvalue="nothing")
    number, one, two = next((n, a, b) for n, (a, b) in enumerate(pairs, start=1) if a != b)
    said, gives = (shorten(line, _WIDTH, placeholder=" ...") for line in (one, two))
    return f"line {number} says {said!r}, the records give {gives!r}"
