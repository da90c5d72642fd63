"""What the runs of a plan share, where they differ, and on what machines they were made."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sslbench.config import canonical, flatten
from sslbench.report.describe import word
from sslbench.run import BASELINES
from sslbench.store import Environment, Manifest, Row

OWN = ("seed", "method", "params", "versions.method")  # of the row, not of the comparison


@dataclass(frozen=True)
class Setting:
    """One resolved value that all rows share, or what each row has."""

    key: str
    value: str  # "" where rows differ
    values: tuple[tuple[str, str], ...] = ()  # value, and the titles of the rows that have it


@dataclass(frozen=True)
class Place:
    """One environment in which records were made."""

    facts: tuple[tuple[str, str], ...]
    packages: tuple[tuple[str, str], ...]
    records: int


def settings(
    rows: Sequence[Row], manifests: Mapping[str, Manifest | None]
) -> tuple[list[Setting], list[Setting]]:
    """(held equal, differing): of the methods' runs, or the baselines' where there are no others.

    Method, its own parameters and the seed are left out: they are what is compared.
    """
    methods = [row for row in rows if row.label not in BASELINES] or list(rows)
    found: dict[str, dict[str, list[str]]] = {}  # key -> value -> titles
    known = 0
    for row in methods:
        manifest = manifests.get(row.run)
        if manifest is None:
            continue
        known += 1
        for key, value in flatten(manifest.config).items():
            if not any(key == own or key.startswith(f"{own}.") for own in OWN):
                titles = found.setdefault(key, {}).setdefault(shown(value), [])
                titles += [row.title] if row.title not in titles else []
    equal, differing = [], []
    titles_of_all = {row.title for row in methods if manifests.get(row.run) is not None}
    for key, values in found.items():
        having = {title for titles in values.values() for title in titles}
        if len(values) == 1 and having == titles_of_all:
            equal.append(Setting(key, next(iter(values))))
        else:
            listed = [(value, ", ".join(titles)) for value, titles in values.items()]
            differing.append(Setting(key, "", tuple(listed)))
    return equal, differing


def shown(value: Any) -> str:
    """A resolved value as one writes it."""
    if value is None:
        return "none"
    if value == "":
        return "(empty)"
    if isinstance(value, list | tuple) and any(isinstance(v, list | dict) for v in value):
        return canonical(value)
    if isinstance(value, Mapping):
        return canonical(value) if value else "none"
    return word(value)


def places(environments: Iterable[Environment | None]) -> list[Place]:
    """Each environment once, the one with most records first."""
    counts = Counter(canonical(e.model_dump(mode="json")) for e in environments if e is not None)
    found = []
    for text, records in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        environment = Environment.model_validate_json(text)
        facts = {
            "sslbench": environment.sslbench,
            "commit": environment.commit or "not recorded",
            "Python": environment.python,
            "machine": environment.machine,
            "device": environment.device,
            "threads": str(environment.threads),
            "devices": str(environment.devices),
        }
        packages = tuple(sorted(environment.packages.items()))
        found.append(Place(tuple(facts.items()), packages, records))
    return found
