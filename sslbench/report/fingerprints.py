"""Whether the numbers of a column were measured alike."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sslbench.config import canonical, flatten
from sslbench.errors import StoreError


@dataclass(frozen=True)
class Difference:
    """A record that was not measured like most of its column."""

    label: str
    seed: int
    keys: str  # what differs: k = 10 (else 20)


def differences(entries: Iterable[dict[str, Any]]) -> list[Difference]:
    """The lines of a column, of the frame, that differ from the most frequent fingerprint."""
    done = [entry for entry in entries if entry["status"] == "done"]
    counts = Counter(entry["fingerprint_sha256"] for entry in done)
    if len(counts) < 2:
        return []
    usual = counts.most_common(1)[0][0]
    reference = _flat(next(e for e in done if e["fingerprint_sha256"] == usual))
    return [
        Difference(entry["label"], int(entry["seed"]), _compared(_flat(entry), reference))
        for entry in done
        if entry["fingerprint_sha256"] != usual
    ]


def refuse_mixed(table: str, column: str, found: Sequence[Difference]) -> None:
    """Raises StoreError that says which rows differ and in what, if any do."""
    if not found:
        return
    listed = [f"{d.label} (seed {d.seed}): {d.keys}" for d in found[:5]]
    if len(found) > 5:
        listed.append(f"and {len(found) - 5} more")
    raise StoreError(
        f"table {table!r}, column {column!r}: its numbers were not measured alike. "
        f"{'; '.join(listed)}. Evaluate all rows alike (`sslbench run` does what is missing), or "
        f"allow it, which marks each of these cells: --set tables.{table}.mixed=true"
    )


def _flat(entry: dict[str, Any]) -> dict[str, str]:
    tree = json.loads(entry["fingerprint"] or "{}")
    return {key: canonical(value) for key, value in flatten(tree).items()}


def _compared(one: dict[str, str], usual: dict[str, str]) -> str:
    keys = sorted(key for key in {*one, *usual} if one.get(key) != usual.get(key))
    told = [f"{key} = {one.get(key, 'absent')} (else {usual.get(key, 'absent')})" for key in keys]
    return ", ".join(told) or "a fingerprint whose contents were not recorded"
