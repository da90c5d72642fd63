"""Ranks of methods over several data sets, and which methods they tell apart.

Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006. Scores of
different data sets cannot be averaged, ranks can. Friedman's test asks whether the methods differ
at all; only then Nemenyi's, which allows for all pairs, says which (section 3.2.2). Two methods are
compared by Wilcoxon's signed ranks (section 3.1.3), which need six data sets at the very least to
tell them apart at 95 %.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# scipy and scikit-posthocs are imported where they are used: most tables have fewer data sets.

LEAST_DATASETS = 5


@dataclass(frozen=True)
class Ranks:
    """Methods over data sets."""

    names: tuple[str, ...]
    mean_ranks: tuple[float, ...]  # in the order of the names; 1 is best, equal scores share ranks
    datasets: int
    test: str  # what the p-value and the groups come from
    p_value: float  # of "all methods score alike"
    critical_difference: float | None  # of mean ranks (Nemenyi); None for two methods
    groups: tuple[tuple[str, ...], ...]  # names not told apart, best first; of two or more, maximal


def rank(scores: NDArray[np.float64], names: Sequence[str], level: float = 0.95) -> Ranks:
    """Ranks out of scores, methods x data sets, where more is better.

    Raises ValueError for fewer than two methods or five data sets, for scores that are not finite
    or not one row per name.
    """
    if scores.ndim != 2 or len(scores) != len(names) or len(names) < 2:
        raise ValueError(f"scores of shape {scores.shape}: expected 2 or more rows, one per name")
    methods, datasets = scores.shape
    if datasets < LEAST_DATASETS:
        raise ValueError(f"{datasets} data sets: ranks need at least {LEAST_DATASETS}")
    if not np.isfinite(scores).all():
        raise ValueError("ranks need a finite score of every method on every data set")
    from scipy.stats import rankdata

    mean_ranks = rankdata(-scores, axis=0).mean(axis=1)
    order = [int(position) for position in np.argsort(mean_ranks, kind="stable")]
    if methods == 2:
        p_value = _wilcoxon(scores[0] - scores[1])
        test, critical, apart = "Wilcoxon signed-rank", None, np.full((2, 2), p_value)
    else:
        p_value, apart = _friedman(scores), _nemenyi(scores)
        test, critical = "Friedman and Nemenyi", _critical_difference(methods, datasets, level)
    groups = [tuple(order)] if p_value > 1 - level else _groups(order, apart > 1 - level)
    return Ranks(
        names=tuple(names),
        mean_ranks=tuple(float(mean) for mean in mean_ranks),
        datasets=datasets,
        test=test,
        p_value=p_value,
        critical_difference=critical,
        groups=tuple(tuple(names[position] for position in group) for group in groups),
    )


def _wilcoxon(differences: NDArray[np.float64]) -> float:
    """Signed ranks; those of equal scores are split evenly, as Demsar does."""
    rounded = np.round(differences, 9)  # or the last digit would decide which ones are equal
    if not rounded.any():
        return 1.0
    from scipy.stats import wilcoxon

    return float(wilcoxon(rounded, zero_method="zsplit").pvalue)


def _friedman(scores: NDArray[np.float64]) -> float:
    if (scores == scores[0]).all():  # its statistic would be 0 / 0
        return 1.0
    from scipy.stats import friedmanchisquare

    return float(friedmanchisquare(*scores).pvalue)


def _nemenyi(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """p-values of all pairs, methods x methods."""
    from scikit_posthocs import posthoc_nemenyi_friedman

    return np.asarray(posthoc_nemenyi_friedman(scores.T))


def _critical_difference(methods: int, datasets: int, level: float) -> float:
    """How far apart mean ranks must be (Demsar, section 3.2.2)."""
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(level, methods, math.inf)) / math.sqrt(2)
    return quantile * math.sqrt(methods * (methods + 1) / (6 * datasets))


def _groups(order: Sequence[int], alike: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    """Runs of neighbours in rank whose ends are not told apart, none inside another."""
    groups: list[tuple[int, ...]] = []
    reached = 0
    for start, first in enumerate(order):
        end = max(n for n in range(start, len(order)) if n == start or alike[first, order[n]]) + 1
        if end - start > 1 and end > reached:
            groups.append(tuple(order[start:end]))
            reached = end
    return groups
