"""One suite, or one study, of a page: everything that the page says of it, before it is written."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from sslbench.config import flatten
from sslbench.errors import SSLBenchError, StoreError
from sslbench.report.frame import PRETRAIN
from sslbench.report.grid import Table
from sslbench.report.html_table import html, identifier
from sslbench.report.page.embed import Shown, draw_pictures, embed
from sslbench.report.page.settings import Place, Setting, places, settings, shown
from sslbench.report.page.why import Facts, conditions, table_facts
from sslbench.report.picture import Picture
from sslbench.report.reported import Quoted
from sslbench.report.sound import Excluded, SoundStore, sound_frame
from sslbench.report.tables import build_table
from sslbench.report.write import table_config
from sslbench.run import BASELINES
from sslbench.store import Manifest, PlanFile, Row, Store

# Pictures out of a store, a plan, its frame and its tables, and why others could not be made.
Pictures = Callable[
    [Store, PlanFile, pd.DataFrame, Sequence[Table]], tuple[list[Picture], list[str]]
]


@dataclass(frozen=True)
class TableView:
    """A table in HTML, or why there is none."""

    name: str
    title: str
    anchor: str
    markup: str
    refused: str = ""


@dataclass(frozen=True)
class Comparison:
    """A measured number, and what may be said of it beside the published one."""

    method: str
    column: str
    measured: str
    verdict: str

    @property
    def comparable(self) -> bool:
        return not self.verdict.startswith("not comparable")


@dataclass(frozen=True)
class Loss:
    """A number that there is not, and why; of one row, over its seeds and evaluations."""

    status: str
    title: str
    evaluations: str
    seeds: str
    reason: str


@dataclass(frozen=True)
class RunView:
    """One run, with all its resolved values."""

    run: str
    anchor: str
    title: str
    seed: int
    status: str
    health: str
    config: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Section:
    """What the page says of one plan. ``absent`` is all there is to say where nothing was run."""

    name: str
    anchor: str
    title: str
    absent: str = ""
    command: str = ""
    study: bool = False
    facts: tuple[tuple[str, str], ...] = ()
    tables: tuple[TableView, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    pictures: tuple[Shown, ...] = ()
    left_out: tuple[str, ...] = ()  # why pictures are missing
    losses: tuple[Loss, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    equal: tuple[Setting, ...] = ()
    differing: tuple[Setting, ...] = ()
    exceptions: tuple[tuple[str, str], ...] = ()
    measured: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    places: tuple[Place, ...] = ()
    runs: tuple[RunView, ...] = ()
    why: Mapping[str, Facts] = field(default_factory=dict)  # by the table's identifier
    conditions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def absent(name: str, reason: str) -> Section:
    """A suite of which nothing is known."""
    return Section(name, anchor(name), name, absent=reason)


def quoting(name: str, tables: Sequence[Table], store: Store) -> Section:
    """Tables of published numbers alone: nothing was run."""
    return Section(
        name=name,
        anchor=anchor(name),
        title="Published numbers",
        tables=tuple(_view(table) for table in tables),
        why={identifier(table): table_facts(table, None, store) for table in tables},
    )


def section(
    store: SoundStore, plan: PlanFile, quoted: Sequence[Quoted], pictures: Pictures, folder: Path
) -> Section:
    """Everything of one plan; pictures are drawn into ``folder``, if they are not there yet.

    What cannot be made is said in its place. Raises UnwritableError if ``folder`` cannot be
    written.
    """
    numbers = sound_frame(store, plan)
    manifests = {row.run: store.manifest(row.run) for row in plan.rows}
    tables, views = _tables(store, plan, numbers, quoted)
    wanted, left_out = pictures(store, plan, numbers, tables)
    drawn, failed = draw_pictures(wanted, folder)
    equal, differing = settings(plan.rows, manifests)
    records = [
        store.record(row.run, name) for row in plan.rows for name in row.evaluations.values()
    ]
    made = [m.environment for m in manifests.values() if m is not None]
    made += [record.environment for record in records if record is not None]
    return Section(
        name=plan.suite,
        anchor=anchor(plan.suite),
        title=plan.title,
        command=plan.command,
        study=plan.study is not None,
        facts=_facts(plan, manifests),
        tables=tuple(views),
        comparisons=tuple(_comparisons(tables)),
        pictures=tuple(embed(picture, folder) for picture in drawn),
        left_out=tuple(map(store.relative, (*left_out, *failed))),
        losses=tuple(_losses(plan, numbers)),
        excluded=tuple(store.excluded),
        equal=tuple(equal),
        differing=tuple(differing),
        exceptions=_exceptions(plan.rows),
        measured=_measured(numbers),
        places=tuple(places(made)),
        runs=tuple(_run(row, manifests[row.run]) for row in plan.rows),
        why={identifier(table): table_facts(table, plan, store) for table in tables},
        conditions=conditions(numbers),
    )


def _tables(
    store: SoundStore, plan: PlanFile, numbers: pd.DataFrame, quoted: Sequence[Quoted]
) -> tuple[list[Table], list[TableView]]:
    tables, views = [], []
    for name in plan.tables:
        try:
            config = table_config(plan, name)
            table = build_table(numbers, plan, name, config, store.reader, quoted)
        except SSLBenchError as error:
            place = anchor(f"table-{plan.suite}-{name}")
            views.append(TableView(name, name, place, "", store.relative(error)))
            continue
        tables.append(table)
        views.append(_view(table))
    return tables, views


def _view(table: Table) -> TableView:
    return TableView(table.name, table.caption or table.name, identifier(table), html(table))


def _facts(plan: PlanFile, manifests: Mapping[str, Manifest | None]) -> tuple[tuple[str, str], ...]:
    methods = {row.title: None for row in plan.rows if row.label not in BASELINES}
    seeds = sorted({row.seed for row in plan.rows})
    known = [m for m in manifests.values() if m is not None]
    facts = {
        "Rows" if plan.study is not None else "Methods": ", ".join(methods)
        if len(methods) <= 12
        else f"{len(methods)}",
        "Seeds": ", ".join(map(str, seeds)),
        "Runs": f"{sum(m.status == 'done' for m in known)} of {len(manifests)} trained",
    }
    keys = {"Encoder": "encoder.name", "Trained on": "pretrain.dataset.name"}
    keys |= {"Epochs": "pretrain.epochs", "Batch": "pretrain.batch_size"}
    trained = [flatten(m.config) for m in known if m.config.get("method") not in BASELINES]
    for title, key in keys.items():
        values = {shown(tree[key]): None for tree in trained if key in tree}
        if values:
            facts[title] = ", ".join(values)
    return tuple(facts.items())


def _comparisons(tables: Sequence[Table]) -> list[Comparison]:
    """Every measured number that has a verdict, once."""
    found: dict[Comparison, None] = {}
    for table in tables:
        for line in table.lines:
            for column, cell in zip(table.columns, line.cells, strict=True):
                if line.kind != "reported" and cell.verdict:
                    text = " ".join(filter(None, (cell.text, cell.spread)))
                    found[Comparison(line.title, column.heading, text, cell.verdict)] = None
    return list(found)


def _losses(plan: PlanFile, numbers: pd.DataFrame) -> list[Loss]:
    """What failed, was left out, skipped or not run, the rows of one reason together."""
    titles = {row.label: row.title for row in plan.rows}
    lost = numbers[(numbers["status"] != "done") & (numbers["metric"] == "")]
    found: dict[tuple[str, str, str], list[Any]] = {}
    for line in lost.itertuples(index=False):
        found.setdefault((str(line.status), str(line.label), str(line.reason)), []).append(line)
    order = ("failed", "excluded", "skipped", "missing")
    keys = sorted(found, key=lambda key: order.index(key[0]))
    return [
        Loss(
            status=key[0],
            title=titles[key[1]],
            evaluations=", ".join(dict.fromkeys(_stage(o.evaluation) for o in found[key])),
            seeds=", ".join(dict.fromkeys(str(o.seed) for o in found[key])),
            reason=key[2] or "has not been run",
        )
        for key in keys
    ]


def _stage(evaluation: str) -> str:
    return "pre-training" if evaluation == PRETRAIN else evaluation


def _exceptions(rows: Sequence[Row]) -> tuple[tuple[str, str], ...]:
    found = {(row.title, note): None for row in rows for note in row.notes}
    return tuple(found)


def _measured(numbers: pd.DataFrame) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """By evaluation, how most of its numbers were measured."""
    found = []
    known = conditions(numbers)
    measured = numbers[numbers["fingerprint"] != ""]
    for evaluation, some in measured.groupby("evaluation", sort=False):
        usual = some["fingerprint_sha256"].value_counts(sort=True).index[0]
        found.append((str(evaluation), tuple(known[str(usual)].items())))
    return tuple(found)


def _run(row: Row, manifest: Manifest | None) -> RunView:
    status = "not run" if manifest is None else manifest.status
    config = {} if manifest is None else flatten(manifest.config)
    return RunView(
        run=row.run,
        anchor=anchor(f"run-{row.run}"),
        title=row.title,
        seed=row.seed,
        status=status,
        health=manifest.health.verdict if manifest and manifest.health else "",
        config=tuple((key, shown(value)) for key, value in config.items()),
    )


def anchor(text: str) -> str:
    """An ``id`` of letters, digits and hyphens."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text)


def read_plan(store: SoundStore, suite: str) -> PlanFile | None:
    """Raises StoreError if the plan is damaged or holds nothing to show."""
    plan = store.plan(suite)
    if plan is not None and not plan.rows:
        raise StoreError(f"the plan of suite {suite!r} in {store.root} has no rows")
    return plan
