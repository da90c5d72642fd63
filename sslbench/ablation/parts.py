"""One part of a study: its base, the rows around it, and what each is called in its table."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sslbench.ablation.rows import Rows, further
from sslbench.card import variant_of
from sslbench.config import Tree, flatten, merge
from sslbench.plan import Planned
from sslbench.study import (
    RUN_KEYS,
    Change,
    FactorConfig,
    FactorFacts,
    LevelFacts,
    PartConfig,
    PartFacts,
    Place,
    said,
)


@dataclass(frozen=True)
class Level:
    """One level of a factor, before it is planned."""

    factor: str
    title: str
    token: str  # its word in a label
    value: Any  # None where the factor is not one key
    change: Change


def part_facts(rows: Rows, method: str, name: str, part: PartConfig) -> PartFacts | None:
    """Adds the rows of a part; None if its base cannot work. Faults are the rows'."""
    selector = part.base.method or method
    own = part.base.model_copy(update={"method": ""})
    base = rows.resolve(selector, [own])
    if base is None:
        return None
    seats = _Seats(rows, name, selector, own, base)
    factors = {title: _levels(title, factor) for title, factor in part.factors.items()}
    lone = {title: [seats.resolve(level) for level in some] for title, some in factors.items()}
    cells: list[list[str]] = []
    if part.design == "crossed":
        one, two = factors.values()
        cells = [[seats.take(seats.resolve(a, b), a, b) for b in two] for a in one]
    else:
        for title, levels in factors.items():
            for level, row in zip(levels, lone[title], strict=True):
                seats.take(row, level)
    if part.design == "pairs":
        cells = _pairs(seats, *factors.values())
    for title, found in lone.items():
        if {row.config.hash if row else "" for row in found} == {base.config.hash}:
            rows.fault(f"{title!r} does not vary: every level is {base.title}, the base itself")
    resolved = _resolved(base)
    facts = [
        FactorFacts(
            title=title,
            key=factor.key,
            own=_at(resolved, factor.key),
            levels=tuple(
                LevelFacts(title=level.title, value=level.value, label=rows.label(row))
                for level, row in zip(factors[title], lone[title], strict=True)
            ),
        )
        for title, factor in part.factors.items()
    ]
    return PartFacts(
        name=name,
        design=part.design,
        base=rows.label(base),
        places=seats.places([f"{f.key} = {said(f.own)}" for f in facts if f.own is not None]),
        factors=tuple(facts),
        cells=tuple(map(tuple, cells)),
        reference=_reference(base, *lone.values()) if part.design == "crossed" else (0, 0),
    )


def _levels(title: str, factor: FactorConfig) -> list[Level]:
    if factor.levels:
        return [
            Level(title, name, f"{_slug(title)}={_slug(name)}", None, change)
            for name, change in factor.levels.items()
        ]
    levels = []
    for value in factor.values:
        tree: Any = value
        for key in reversed(factor.key.split(".")):
            tree = {key: tree}
        token = f"{factor.key.rpartition('.')[2]}={said(value).replace(', ', '-')}"
        levels.append(Level(title, said(value), token, value, Change(**tree)))
    return levels


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _pairs(seats: "_Seats", levels: Sequence[Level]) -> list[list[str]]:
    """The labels of every two levels together, of each alone on the diagonal."""
    labels = [["" for _ in levels] for _ in levels]
    for i, one in enumerate(levels):
        labels[i][i] = seats.rows.label(seats.resolve(one))
        for j, two in enumerate(levels[:i]):
            labels[i][j] = labels[j][i] = seats.take(seats.resolve(two, one), two, one)
    return labels


def _reference(
    base: Planned, one: Sequence[Planned | None], two: Sequence[Planned | None]
) -> tuple[int, int]:
    """The base's own level of each factor; the first level of a factor that has it not."""

    def own(found: Sequence[Planned | None]) -> int:
        same = [n for n, row in enumerate(found) if row and row.config.hash == base.config.hash]
        return same[0] if same else 0

    return own(one), own(two)


class _Seats:
    """The rows of one part's table, and what each is called there."""

    def __init__(self, rows: Rows, part: str, selector: str, own: Change, base: Planned) -> None:
        self.rows, self._part, self._selector, self._own = rows, part, selector, own
        self._base_title = base.title
        self._base = rows.add(base, selector, part)
        self._places: dict[str, Place] = {}
        self._also: dict[str, list[str]] = {}  # what a row stands for besides

    def resolve(self, *levels: Level) -> Planned | None:
        named = [f"{level.factor}, {level.title}" for level in levels if level.value is None]
        told = f"{' and '.join(named)}: " if named else ""
        return self.rows.resolve(self._selector, [self._own, *(x.change for x in levels)], told)

    def take(self, row: Planned | None, *levels: Level) -> str:
        """Gives a row its place, and returns its label; empty for no row."""
        label = further(self._base, ",".join(level.token for level in levels))
        if len(levels) == 1 and levels[0].change.method and not levels[0].change.tree:
            label = levels[0].change.method  # as in a suite
        together = " + ".join(level.title for level in levels)
        if len({level.factor for level in levels}) == len(levels):
            together = ", ".join(f"{level.factor}: {level.title}" for level in levels)
        if row is not None:
            row = replace(row, title=f"{self._base_title}, {together}")
        label = self.rows.add(row, label, self._part)
        if not label or label == self._base or label in self._places:
            self._also.setdefault(label, []).append(together)
            return label
        notes = [note for level in levels if level.value is None for note in _notes(level.change)]
        group = "" if len(levels) > 1 else levels[0].factor
        self._places[label] = Place(label=label, title=together, group=group, notes=tuple(notes))
        return label

    def places(self, known: Sequence[str]) -> tuple[Place, ...]:
        """The base first, with what is ``known`` of it."""
        base = Place(
            label=self._base,
            title=self._base_title,
            notes=tuple(dict.fromkeys([*_notes(self._own), *known])),
        )
        placed = []
        for place in self._places.values():
            also = [f"the same run as {title}" for title in self._also.get(place.label, [])]
            placed.append(place.model_copy(update={"notes": (*place.notes, *also)}))
        return (base, *placed)


def _notes(change: Change) -> list[str]:
    """The keys that a change gives, and those of a variant that it names."""
    name, _, variant = change.method.partition("@")
    keys = {key: variant_of(name, variant).get(key, {}) for key in RUN_KEYS} if variant else {}
    given = flatten(merge({key: tree for key, tree in keys.items() if tree}, change.tree))
    named = [change.method] if change.method else []
    return [*named, *(f"{key} = {said(value)}" for key, value in given.items())]


def _resolved(row: Planned) -> Tree:
    config = row.config
    return {
        "params": config.params,
        "encoder": config.encoder.model_dump(mode="json"),
        "pretrain": config.pretrain.model_dump(mode="json"),
    }


def _at(tree: Tree, key: str) -> Any:
    """What stands at a dotted key; of what has a name, the name. None where nothing does."""
    found: Any = tree
    for part in key.split(".") if key else [""]:
        found = found.get(part) if isinstance(found, dict) else None
    return found.get("name") if isinstance(found, dict) else found
