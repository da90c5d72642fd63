"""Suites of a results folder -> ``reports/NAME/index.html``. The same records, the same bytes."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from sslbench.disk import write_text
from sslbench.errors import StoreError
from sslbench.report.page.section import (
    Pictures,
    Section,
    absent,
    quoting,
    read_plan,
    section,
)
from sslbench.report.page.why import embedded
from sslbench.report.quoted_tables import REPORTED, quoted_tables
from sslbench.report.reported import read_reported
from sslbench.report.sound import SoundStore
from sslbench.store import Store
from sslbench.study import command_of, study_names
from sslbench.suite import suite_names


@dataclass(frozen=True)
class Report:
    """Where the page is, and what its reader should know first."""

    path: Path
    notices: tuple[str, ...]


def report_folder(store: Store, name: str) -> Path:
    return store.root / "reports" / name


def report_page(store: Store, name: str) -> Path:
    """Of a suite, or of several whose names are joined by +."""
    return report_folder(store, name) / "index.html"


def write_report(
    store: Store, suites: Sequence[str], pictures: Pictures, reported: Path | None = None
) -> Report:
    """One page of some suites, with the pictures that ``pictures`` finds for each.

    Records that are damaged or were edited are left out, and the page names them. Raises StoreError
    for a suite that is neither known nor in the results folder, or if that cannot be written.
    """
    suites = list(dict.fromkeys(suites))
    quoted = read_reported(reported)
    sections = []
    for suite in suites:
        sound = SoundStore(store.root)  # of its own, which knows what was left out of this suite
        if suite == REPORTED:
            sections.append(quoting(suite, quoted_tables(reported), sound))
            continue
        plan = read_plan(sound, suite)
        if plan is None:
            sections.append(absent(suite, _never_run(store, suite)))
            continue
        folder = report_folder(store, suite) / "pictures"
        sections.append(section(sound, plan, quoted, pictures, folder))
    name = "+".join(suites)
    path = report_page(store, name)
    write_text(path, page(sections))
    return Report(path, tuple(notice for one in sections for notice in _notices(one)))


def page(sections: Sequence[Section]) -> str:
    """The page as text."""
    environment = Environment(
        loader=FunctionLoader(_file),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style, script = _file("page.css"), _file("page.js")
    facts = {
        "tables": {key: facts for one in sections for key, facts in one.why.items()},
        "conditions": {key: value for one in sections for key, value in one.conditions.items()},
    }
    return environment.get_template("page.html").render(
        sections=sections,
        title=_listed([one.name for one in sections]) if len(sections) > 1 else sections[0].title,
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
        facts=Markup(embedded(facts)),
        markup=Markup,
    )


def _never_run(store: Store, suite: str) -> str:
    """Raises StoreError for a name that is no suite's."""
    command = command_of(suite)
    if suite not in (*suite_names(), *study_names()):
        raise StoreError(
            f"suite {suite!r} has not been run into {store.root}: there is no "
            f"{store.table_folder(suite) / 'plan.json'}. `{command}` makes it"
        )
    return f"Nothing of this suite has been run into this results folder: {command}"


def _notices(one: Section) -> list[str]:
    found = [f"{one.name}: {one.absent}"] if one.absent else []
    found += [f"{one.name}: left out: {excluded.reason}" for excluded in one.excluded]
    found += [
        f"{one.name}: table {view.name}: {view.refused}" for view in one.tables if view.refused
    ]
    return found + [f"{one.name}: no picture: {sentence}" for sentence in one.left_out]


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}"


def _file(name: str) -> str:
    return resources.files("sslbench.report.page").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """As a content security policy names an element's text."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"
