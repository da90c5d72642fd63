"""What ``train.jsonl`` of a run says, as far as it is drawn.

Each line has its ``step`` (of the whole run, counted from 1), ``epoch`` (from 0) and ``seconds``;
then either ``loss``, its terms, the norms of gradients and weights and ``lr``, or ``health``.
"""

import json
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from sslbench.errors import StoreError

READINGS = 200  # of a run that are drawn; of a longer log every so many
LOSS, RATE = "loss", "lr"
POSITION = ("step", "epoch", "seconds")
AFTER_TERMS = ("gradient_norm", RATE)  # the terms of the loss stand before these

Lines = list[dict[str, Any]]


@dataclass(frozen=True)
class Readings:
    """Of one run: what each name was at some of the steps, and signals at ends of epochs."""

    steps: dict[str, list[int]]  # by the name of a term, "loss" or "lr"
    values: dict[str, list[float]]
    epochs: dict[str, list[int]]  # by signal, counted from 1: how many have passed
    signals: dict[str, list[float]]

    @property
    def terms(self) -> list[str]:
        """The loss first; without the only term of a loss, which is the loss."""
        names = [name for name in self.values if name != RATE]
        return names if len(names) > 2 else names[:1]

    @property
    def only_term(self) -> str | None:
        names = [name for name in self.values if name not in (LOSS, RATE)]
        return names[0] if len(names) == 1 else None


def read_log(path: Path) -> Readings | None:
    """The log of a run, or None where there is none or nothing in it.

    Raises StoreError for a line that is none of a log's. A torn last line is not looked at.
    """
    try:
        complete = path.read_text(encoding="utf-8").split("\n")[:-1]
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read ({error})") from error
    signals = [line for line in complete if '"health"' in line]
    others = [line for line in complete if line and '"health"' not in line]
    every = max(1, -(-len(others) // READINGS))
    kept = others[::-1][::every][::-1]  # the last one always
    found = Readings({}, {}, {}, {})
    for line in _parsed(kept, path):
        for name in _drawn(line):
            _add(found.steps, found.values, name, line["step"], line[name])
    for line in _parsed(signals, path):
        for name, value in line["health"].items():
            _add(found.epochs, found.signals, name, line["epoch"] + 1, value)
    return found if found.values or found.signals else None


def _parsed(lines: list[str], path: Path) -> Lines:
    try:
        parsed = [json.loads(line) for line in lines]
    except ValueError as error:
        raise StoreError(f"{path}: damaged ({error}). `sslbench run` goes on without it") from error
    for line in parsed:
        if not (isinstance(line, dict) and isinstance(line.get("health", {}), dict)):
            raise StoreError(f"{path}: a line is no reading: {str(line)[:80]}")
        if not all(isinstance(line.get(place), int) for place in POSITION[:2]):
            raise StoreError(f"{path}: a line has no step or epoch: {str(line)[:80]}")
    return parsed


def _drawn(line: dict[str, Any]) -> list[str]:
    names = [name for name in line if name not in POSITION]
    ends = [names.index(name) for name in AFTER_TERMS if name in names]
    terms = names[: min(ends, default=len(names))]
    return [*terms, RATE] if RATE in names else terms


def _add(
    places: dict[str, list[int]], values: dict[str, list[float]], name: str, at: int, value: Any
) -> None:
    if isinstance(value, int | float) and isfinite(value):
        places.setdefault(name, []).append(at)
        values.setdefault(name, []).append(float(value))
