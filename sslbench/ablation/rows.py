"""The rows of a study by what they compute: a run that two levels share is planned once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from sslbench.config import Tree
from sslbench.data.recipe import layered
from sslbench.errors import SSLBenchError
from sslbench.plan import Environs, Planned, plan_row
from sslbench.study import Change
from sslbench.suite import Suite

T = TypeVar("T")


class Rows:
    """Collects rows and the faults of those that cannot be."""

    def __init__(self, suite: Suite, changes: Tree, environs: Environs) -> None:
        self.suite, self.changes, self.environs = suite, changes, environs
        self.faults: list[str] = []
        self._where = ""
        self._wanted: set[str] = set()
        self._rows: dict[str, Planned] = {}  # by hash

    def begin(self, where: str, wanted: set[str]) -> None:
        """From now on: what is said before a fault, and the evaluations of what is added."""
        self._where, self._wanted = where, wanted

    def fault(self, told: str) -> None:
        self.faults.append(f"{self._where}{told}")

    def resolve(self, selector: str, changes: Sequence[Change], told: str = "") -> Planned | None:
        """What changes come to, one over the other; None if they cannot work, which is a fault."""
        named = [change.method for change in changes if change.method]
        if len(named) > 1:
            self.fault(f"{told}{' and '.join(named)} do not combine: give one of them as params")
            return None
        tree = self.changes
        for change in changes:
            tree = layered(tree, change.tree)
        try:
            return plan_row(self.suite, named[0] if named else selector, 0, tree, self.environs)
        except SSLBenchError as error:
            self.fault(f"{told}{error}")
            return None

    def add(self, row: Planned | None, label: str, distinct: str) -> str:
        """The label of a row, which is an earlier one's if both compute the same.

        ``distinct`` is added to a label that another row has. Empty for no row.
        """
        if row is None:
            return ""
        known = self._rows.get(row.config.hash)
        if known is None:
            taken = {other.label for other in self._rows.values()}
            label = further(label, distinct) if label in taken else label
            known = replace(row, label=label, evaluations={}, skipped={})
        self._rows[row.config.hash] = replace(
            known,
            evaluations={**known.evaluations, **self._only(row.evaluations)},
            skipped={**known.skipped, **self._only(row.skipped)},
        )
        return known.label

    def label(self, row: Planned | None) -> str:
        """Of a row that was added; empty for any other."""
        known = self._rows.get(row.config.hash) if row is not None else None
        return known.label if known is not None else ""

    def plan(self, seeds: Sequence[int]) -> list[Planned]:
        """All rows with each seed, in the order in which they were added."""
        return [
            replace(row, config=row.config.model_copy(update={"seed": seed}))
            for row in self._rows.values()
            for seed in seeds
        ]

    def _only(self, tree: Mapping[str, T]) -> dict[str, T]:
        return {key: value for key, value in tree.items() if key in self._wanted}


def further(label: str, word: str) -> str:
    """A label with one more word: hcsc@one-level,queue_size=256."""
    return f"{label},{word}" if "@" in label else f"{label}@{word}"
