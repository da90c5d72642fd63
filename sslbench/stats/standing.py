"""Which of several methods is the best, and which cannot be told from it.

Two levels of claim. With several common seeds the paired difference over crossed seeds and images
speaks of the methods; with one seed each a paired test over the test images speaks of these runs
only. The best mean is compared with each other one, and Holm's correction ("A Simple Sequentially
Rejective Multiple Test Procedure", 1979) allows for the number of comparisons. That the best is
chosen by the same numbers costs nothing for the claim that it stands alone: for that it must be
told apart from each of the others, the second best among them. That some method falls behind is a
weaker claim: of ten equal methods one or more seem to in 15 % of tables, since the best had luck.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from sslbench.stats.crossed import crossed
from sslbench.stats.paired import paired_p_value
from sslbench.stats.seeds import holm
from sslbench.stats.spread import Spread

Candidate = Mapping[int, Spread]  # by seed

CROSSED = "crossed seeds x images"


@dataclass(frozen=True)
class Standing:
    """The best of a column and how far that can be said; positions are those of the candidates."""

    best: int  # of the best mean; of those with several seeds, where two or more have them
    tied: tuple[int, ...]  # compared, and not told apart from the best, which is not among them
    uncompared: tuple[int, ...]  # with which the best cannot be compared
    alone: bool  # told apart from every other; one of a single seed may be worse and uncompared
    claim: Literal["runs", "methods"]  # methods: every comparison had several common seeds
    test: str  # "McNemar", "crossed seeds x images", ...
    p_values: tuple[float | None, ...]  # corrected by Holm; None: the best, or not comparable


def standing(
    candidates: Sequence[Candidate], higher_is_better: bool, level: float = 0.95
) -> Standing | None:
    """Where the best stands; None where nothing can be compared, as with fewer than two candidates.

    Each has one seed or more. Not compared: candidates with one seed and with several, without
    common seeds, with test items of another number or kind.
    """
    sign = 1 if higher_is_better else -1
    means = [sign * fmean(spread.estimate for spread in some.values()) for some in candidates]
    several = [position for position, some in enumerate(candidates) if len(some) > 1]
    peers = several if len(several) > 1 else range(len(candidates))
    if len(peers) < 2:
        return None
    best = max(peers, key=means.__getitem__)
    others = [position for position in range(len(candidates)) if position != best]
    compared = {
        position: found
        for position in others
        if (found := _compare(candidates[best], candidates[position], sign, level)) is not None
    }
    if not compared:
        return None
    adjusted = dict(zip(compared, holm([p for p, _ in compared.values()]), strict=True))
    tests = dict.fromkeys(name for _, name in compared.values())
    tied = tuple(p for p in others if p in adjusted and adjusted[p] > 1 - level)
    uncompared = tuple(p for p in others if p not in adjusted)
    behind = all(len(candidates[p]) == 1 and means[p] < means[best] for p in uncompared)
    return Standing(
        best=best,
        tied=tied,
        uncompared=uncompared,
        alone=not tied and behind,
        claim="methods" if set(tests) == {CROSSED} else "runs",
        test=", ".join(tests),
        p_values=tuple(adjusted.get(position) for position in range(len(candidates))),
    )


def _compare(
    best: Candidate, other: Candidate, sign: int, level: float
) -> tuple[float, str] | None:
    """(p-value, name of the test), or None where nothing can be said."""
    common = sorted(best.keys() & other.keys())
    spreads = [some[seed] for seed in common for some in (best, other)]
    if not common or not all(spread.comparable(spreads[0]) for spread in spreads):
        return None
    if len(best) == len(other) == 1:
        return paired_p_value(best[common[0]], other[common[0]])
    if len(common) < 2:
        return None
    found = crossed([best[seed].minus(other[seed]) for seed in common], level)
    # The better mean over all seeds may be the worse one over the common seeds: no evidence.
    return (found.p_value if sign * found.mean > 0 else 1.0), CROSSED
