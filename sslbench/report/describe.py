"""The columns that describe a row: its card, and what rows of one method differ in."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sslbench.config import canonical, flatten
from sslbench.report.grid import NO_NUMBER
from sslbench.run import BASELINES
from sslbench.store import Row


def method_of(label: str) -> str:
    """``hcsc@one-level`` is a row of ``hcsc``."""
    return label.partition("@")[0]


def described(
    rows: Mapping[str, Sequence[Row]],
    keys: Sequence[str],
    health: Mapping[str, Sequence[str]],
    titled: bool = False,
) -> tuple[list[str], dict[str, list[str]]]:
    """Headings, and the words of each label, for keys of the card, factors, seeds and health.

    ``rows`` are a plan's rows by label, one per seed; ``health`` are the verdicts of their runs.
    An ablation says what its first row is made of, and of each other row what differs, unless the
    rows' titles do (``titled``).
    """
    if titled or shares_method(rows):  # what the card says is the same in every row, or nearly
        keys = []
    headings = [key.replace("_", " ").capitalize() for key in keys]
    words = {
        label: [word(some[0].card.get(key), label in BASELINES) for key in keys]
        for label, some in rows.items()
    }
    for key, heading in ({} if titled else factors(rows)).items():
        headings.append(heading)
        values = {label: flatten(some[0].params).get(key) for label, some in rows.items()}
        first = next(label for label in rows if label not in BASELINES)
        for label, value in values.items():
            same = label != first and canonical(value) == canonical(values[first])
            words[label].append("" if same else word(value, label in BASELINES))
    if any(len(some) > 1 for some in rows.values()):
        headings.append("Seeds")
        for label, some in rows.items():
            words[label].append(str(len(some)))
    if any(health.values()):
        headings.append("Health")
        for label, verdicts in health.items():
            words[label].append(tallied(verdicts))
    return headings, words


def tallied(verdicts: Sequence[str]) -> str:
    """``healthy``, or ``2 healthy, 1 cluster collapse``."""
    counts = Counter(verdicts)
    if len(counts) < 2:
        return next(iter(counts), "")
    return ", ".join(f"{times} {verdict}" for verdict, times in counts.most_common())


def shares_method(rows: Mapping[str, Sequence[Row]]) -> bool:
    """Whether several rows, baselines aside, are of one method: an ablation."""
    labels = [label for label in rows if label not in BASELINES]
    return len(labels) > 1 and len({method_of(label) for label in labels}) == 1


def factors(rows: Mapping[str, Sequence[Row]]) -> dict[str, str]:
    """The resolved keys in which the rows of an ablation differ, each with its heading."""
    if not shares_method(rows):
        return {}
    trees = [flatten(some[0].params) for label, some in rows.items() if label not in BASELINES]
    keys = list(dict.fromkeys(key for tree in trees for key in tree))
    differing = [k for k in keys if len({canonical(t[k]) if k in t else "" for t in trees}) > 1]
    short = {key: key.rpartition(".")[2] for key in differing}
    times = Counter(short.values())
    return {
        key: (short[key] if times[short[key]] == 1 else key).replace("_", " ") for key in differing
    }


def word(value: Any, baseline: bool = False) -> str:
    """A value of a card or a setting in a table."""
    if value is None:
        return "" if baseline else NO_NUMBER
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(word(item) for item in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
