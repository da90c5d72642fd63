"""Whether tables and pages that were written still say what their records give.

The same records give the same bytes, so a difference is an edit, or a record that came later. Of a
page its tables count, with the lines below them, and what it says of where a number comes from.
"""

import json
import re
from itertools import zip_longest
from pathlib import Path
from textwrap import shorten
from typing import Any

from sslbench.errors import SSLBenchError
from sslbench.report.html_table import html, identifier
from sslbench.report.page.build import report_page
from sslbench.report.page.why import conditions, embedded, table_facts
from sslbench.report.reported import read_reported
from sslbench.report.sound import SoundStore, sound_frame
from sslbench.report.tables import build_table
from sslbench.report.write import notations, planned_suite, table_config
from sslbench.store import Store

_WIDTH = 160  # of a line that is quoted
_FACTS = re.compile(r'<script type="application/json" id="facts">(.*?)</script>', re.DOTALL)


def differences(store: Store, suite: str, reported: Path | None) -> list[str]:
    """A line for each file of a suite that says otherwise; what was not written is no difference.

    Where a record or manifest is not to be believed, no table can be made, and that is said in
    place of differences. ``reported`` is the folder of quoted numbers. Raises StoreError if the
    suite has not been run.
    """
    plan = planned_suite(store, suite)
    sound = SoundStore(store.root)
    numbers, quoted = sound_frame(sound, plan), read_reported(reported)
    if sound.excluded:
        return [excluded.reason for excluded in sound.excluded]
    found = []
    pages = {path: _text(path) for path in _pages(store, suite)}
    told = {path: _facts(page) for path, page in pages.items()}
    for name in plan.tables:
        try:
            table = build_table(numbers, plan, name, table_config(plan, name), sound.reader, quoted)
        except SSLBenchError:  # there is no table to compare, which is told elsewhere
            continue
        for ending, text in notations(table).items():
            path = store.table_folder(suite) / f"{name}.{ending}"
            given = _text(path) if path.is_file() else text
            if given != text:
                where = _unlike(given, text)
                found.append(
                    f"{sound.relative(path)}, {where}. `sslbench table {suite}` writes it anew"
                )
        again = _of_page(html(table), identifier(table))
        facts = json.loads(embedded(table_facts(table, plan, sound)))
        for path, page in pages.items():
            given = _of_page(page, identifier(table))
            where = _unlike(given, again) if given != again else ""
            if not where and told[path].get("tables", {}).get(identifier(table)) != facts:
                where = "it does not say where its numbers come from as the records do"
            if where:
                found.append(f"{sound.relative(path)}, table {name}, {where}. {_anew(path)}")
    measured = json.loads(embedded(conditions(numbers)))
    for path in pages:
        given_measured = told[path].get("conditions", {})
        if any(given_measured.get(key) != value for key, value in measured.items()):
            found.append(
                f"{sound.relative(path)}: it does not say how numbers were measured as the records "
                f"do. {_anew(path)}"
            )
    return found


def _anew(page: Path) -> str:
    return f"`sslbench report {page.parent.name.replace('+', ' ')}` writes it anew"


def _text(path: Path) -> str:
    """A file that we wrote; what is no text in it is a difference like any other."""
    return path.read_text(encoding="utf-8", errors="replace")


def _facts(page: str) -> dict[str, Any]:
    """What a page says of where numbers come from; nothing if that is damaged."""
    found = _FACTS.search(page)
    try:
        tree = json.loads(found[1]) if found else {}
    except ValueError:
        return {}
    return tree if isinstance(tree, dict) else {}


def _pages(store: Store, suite: str) -> list[Path]:
    """Those that hold the suite, alone or with others."""
    alone = report_page(store, suite)
    pages = sorted(alone.parent.parent.glob(f"*/{alone.name}"))
    return [path for path in pages if suite in path.parent.name.split("+")]


def _of_page(page: str, table: str) -> str:
    """A table and the lines below it as they stand in a page; nothing if they are not there."""
    _, opened, rest = page.partition(f'<table id="{table}">')
    body, last, rest = rest.partition('<p class="provenance">')
    sentence, closed, _ = rest.partition("</p>")
    return f"{opened}{body}{last}{sentence}{closed}" if opened and closed else ""


def _unlike(given: str, again: str) -> str:
    """The first line that differs."""
    pairs = zip_longest(given.splitlines(), again.splitlines(), fillvalue="nothing")
    number, one, two = next((n, a, b) for n, (a, b) in enumerate(pairs, start=1) if a != b)
    said, gives = (shorten(line, _WIDTH, placeholder=" ...") for line in (one, two))
    return f"line {number} says {said!r}, the records give {gives!r}"
