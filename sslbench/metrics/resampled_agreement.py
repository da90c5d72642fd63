"""Agreement of clusters with classes in many resamples of the same items, each in milliseconds.

The indices of ``sslbench.metrics.clustering`` out of how often each pair of a class and a cluster
occurs. What AMI subtracts, the mutual information expected of random clusters (Vinh et al., JMLR
11, 2010, equation 24), depends on the sizes of classes and clusters only, so it is summed over the
different sizes: dozens, where there are a thousand classes by a thousand clusters.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import gammaln, xlogy

from sslbench.metrics.clustering import Ints

Counts = NDArray[np.int64]
EPSILON = float(np.finfo(np.float64).eps)
_TERMS = 1 << 22  # of the expectation at once


class Contingency:
    """Items by class and cluster, to be counted again for every resample."""

    def __init__(self, classes: Ints, clusters: Ints) -> None:
        """``classes``, ``clusters``: N each, whole numbers."""
        names, rows = np.unique(classes, return_inverse=True)
        others, columns = np.unique(clusters, return_inverse=True)
        self.shape = len(names), len(others)
        cells, self._cell = np.unique(rows * len(others) + columns, return_inverse=True)
        self._row, self._column = np.divmod(cells, len(others))

    def counted(self, times: Counts) -> "Counted":
        """``times``: N, how often each item occurs."""
        pairs = np.bincount(self._cell, times, len(self._row)).astype(np.int64)
        rows, columns = (
            np.bincount(places, pairs, size).astype(np.int64)
            for places, size in zip((self._row, self._column), self.shape, strict=True)
        )
        return Counted(self._row, self._column, pairs, rows, columns)


class Counted:
    """How often each class, each cluster and each pair of them occurs in one resample."""

    def __init__(
        self, row: Counts, column: Counts, pairs: Counts, rows: Counts, columns: Counts
    ) -> None:
        """``row``, ``column``: of each pair; a class, a cluster or a pair may not occur at all."""
        self.row, self.column, self.pairs = row, column, pairs
        self.rows, self.columns, self.items = rows, columns, int(rows.sum())

    def information_indices(self) -> tuple[float, float]:
        """(NMI, AMI), both by the arithmetic mean of the entropies; see metrics.clustering."""
        n = self.items
        occurring = sorted(int(np.count_nonzero(sizes)) for sizes in (self.rows, self.columns))
        if occurring[0] == 1:  # one cluster says nothing, unless there is one class
            return (1.0, 1.0) if occurring[1] == 1 else (0.0, 0.0)
        there = self.pairs > 0
        pairs = self.pairs[there]
        alone = self.rows[self.row[there]] / n * self.columns[self.column[there]]
        mutual = max(0.0, float((pairs / n * np.log(pairs / alone)).sum()))
        mean = (_entropy(self.rows) + _entropy(self.columns)) / 2
        expected = _expected_information(self.rows, self.columns)
        return mutual / mean, _not_zero(mutual - expected) / _not_zero(mean - expected)

    def rand_index(self) -> float:
        """ARI."""
        both, one, other = (
            float((counts * (counts - 1) / 2).sum())
            for counts in (self.pairs, self.rows, self.columns)
        )
        if both == one == other:  # also of a single item, which is in no pair
            return 1.0
        expected = one * other / (self.items * (self.items - 1) / 2)
        most = (one + other) / 2
        return (both - expected) / (most - expected)

    def matched_accuracy(self) -> float:
        """In percent, after the best assignment of clusters to classes."""
        table = np.zeros((len(self.rows), len(self.columns)))
        table[self.row, self.column] = self.pairs
        rows, columns = linear_sum_assignment(table, maximize=True)
        return float(100 * table[rows, columns].sum() / self.items)


def _not_zero(difference: float) -> float:
    """As scikit-learn has it: where each item is a class and a cluster of its own, AMI is 1."""
    return math.copysign(max(abs(difference), EPSILON), difference)


def _entropy(sizes: Counts) -> float:
    shares = sizes / sizes.sum()
    return float(-xlogy(shares, shares).sum())


def _expected_information(rows: Counts, columns: Counts) -> float:
    """The mean mutual information over all ways to deal items to clusters of these sizes."""
    n = int(rows.sum())
    (ones, many), (others, few) = (
        np.unique(sizes[sizes > 0], return_counts=True) for sizes in (rows, columns)
    )
    factorial = gammaln(np.arange(n + 1) + 1.0)  # its logarithm
    total = 0.0
    for one, repeated in zip(ones.tolist(), many.tolist(), strict=True):
        step = max(1, _TERMS // one)
        for start in range(0, len(others), step):
            other, times = (part[start : start + step, None] for part in (others, few))
            # Sizes x how many items a class and a cluster share; impossible numbers count nothing.
            shared = np.arange(1, min(one, int(other.max())) + 1)
            possible = (shared <= other) & (shared >= one + other - n)
            k = np.where(possible, shared, np.maximum(1, one + other - n))
            chance = np.exp(
                factorial[one]
                + factorial[other]
                + factorial[n - one]
                + factorial[n - other]
                - factorial[n]
                - factorial[k]
                - factorial[one - k]
                - factorial[other - k]
                - factorial[n - one - other + k]
            )
            term = k / n * (np.log(n * k) - np.log(one) - np.log(other)) * chance
            total += repeated * float((term * possible * times).sum())
    return total
