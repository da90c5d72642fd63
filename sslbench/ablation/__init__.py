"""A study in its suite -> runs, none of them twice, and where each stands in the tables."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sslbench.ablation.parts import part_facts
from sslbench.ablation.rows import Rows
from sslbench.config import Tree
from sslbench.data.recipe import layered
from sslbench.errors import ConfigError, SSLBenchError, all_faults
from sslbench.plan import Environs, Planned, apply_changes, check_exceptions
from sslbench.study import StudyConfig, StudyFacts
from sslbench.suite import Suite, TableConfig

COSTS = "pretrain"  # before the dot of a column's key: of the run itself, no evaluation


@dataclass(frozen=True)
class Ablation:
    """What there is to run, and the tables and pictures that it is for."""

    plan: list[Planned]
    facts: StudyFacts
    tables: dict[str, TableConfig]  # by part


def ablation(
    study: StudyConfig, suite: Suite, seeds: Sequence[int], changes: Tree, environs: Environs
) -> Ablation:
    """Every run of a study: only those that its tables' columns need, evaluated on these only.

    ``changes`` are those behind ``--set``. Raises ConfigError that lists all faults.
    """
    suite, of_runs = apply_changes(suite, layered(study.set, changes))
    try:
        check_exceptions(suite)
    except SSLBenchError as error:
        raise ConfigError(str(error)) from error
    tables = _tables(study, suite)
    rows = Rows(suite, of_runs, environs)
    parts = []
    for name, part in study.parts.items():
        rows.begin(f"part {name!r}: " if len(study.parts) > 1 else "", _evaluations([tables[name]]))
        facts = part_facts(rows, study.method, name, part)
        if facts is None:
            continue
        tables[name] = tables[name].model_copy(update={"against": facts.base})
        crossings = _crossings(name, tables[name]) if facts.cells else {}
        tables |= crossings
        parts.append(facts.model_copy(update={"interactions": tuple(crossings)}))
    rows.begin("", _evaluations(tables.values()))
    for label in study.baselines:
        rows.add(rows.resolve(label, []), label, "")
    if rows.faults:
        faults = list(dict.fromkeys(rows.faults))
        raise ConfigError(all_faults(faults, f"study {study.name!r}: {len(faults)} faults"))
    return Ablation(rows.plan(seeds), StudyFacts(parts=tuple(parts)), tables)


def _tables(study: StudyConfig, suite: Suite) -> dict[str, TableConfig]:
    """A table per part. Raises ConfigError for columns of evaluations that the suite has not."""
    first = next(iter(suite.tables.values()), None)
    columns = study.columns or (first.columns if first is not None else {})
    tables = {
        name: TableConfig(columns=part.columns or columns, caption=part.caption or name)
        for name, part in study.parts.items()
    }
    if not all(table.columns for table in tables.values()):
        raise ConfigError(
            f"study {study.name!r} has no columns, and suite {suite.name!r} no table to take them "
            "from: give it some, such as {kNN top-1: knn.top1}"
        )
    faults = []
    for unknown in sorted(_evaluations(tables.values()) - set(suite.evaluations)):
        close = difflib.get_close_matches(unknown, suite.evaluations, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        faults.append(
            f"study {study.name!r}, columns: suite {suite.name!r} has no evaluation {unknown!r}."
            f"{hint} Known: {', '.join(suite.evaluations)}"
        )
    if faults:
        raise ConfigError(all_faults(faults, f"study {study.name!r}: {len(faults)} faults"))
    return tables


def _crossings(part: str, table: TableConfig) -> dict[str, TableConfig]:
    """A table per score, of the levels of two factors."""
    scores = {
        title: key
        for title, key in table.columns.items()
        if " - " not in key and not key.startswith(f"{COSTS}.")
    }
    return {
        f"{part}-{key.replace('.', '-')}": TableConfig(
            columns={title: key}, caption=f"{table.caption}: {title}"
        )
        for title, key in scores.items()
    }


def _evaluations(tables: Iterable[TableConfig]) -> set[str]:
    """The suite's keys that the columns of some tables speak of."""
    keys = [side for t in tables for key in t.columns.values() for side in key.split(" - ")]
    return {key.strip().partition(".")[0] for key in keys} - {COSTS}
