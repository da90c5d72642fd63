"""How one score of one run moves with the test images, kept so that scores can be compared.

The mean and covariance of what is kept are all that intervals and paired tests need. It has one of
two forms: a number per test item where the score is a mean over items, or else the score of each of
a fixed set of resamples, which are the same for all tables of one size
(``sslbench.stats.bootstrap``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["items", "resamples"]


@dataclass(frozen=True, eq=False)
class Spread:
    """One score of one run, and how it moves with the test images."""

    estimate: float
    # items: one number per test item, whose mean is the estimate, in the order of the items.
    # resamples: the score of each resample, NaN in the few where it has no value.
    values: NDArray[np.float64]
    kind: Kind

    def __post_init__(self) -> None:
        """Raises ValueError for fewer than two numbers, of which nothing can be said."""
        if self.values.ndim != 1 or len(self._known()) < 2:
            raise ValueError(
                f"{self.kind} of shape {self.values.shape}: expected 2 numbers or more"
            )

    @property
    def binary(self) -> bool:
        """Right or wrong: every item counts either nothing or one and the same number."""
        return self.kind == "items" and len(np.unique(self.values[self.values != 0])) <= 1

    def comparable(self, other: "Spread") -> bool:
        """Whether the two can lie over the same items or the same resamples."""
        return self.kind == other.kind and len(self.values) == len(other.values)

    def minus(self, other: "Spread") -> "Spread":
        """The difference, item by item or resample by resample.

        Raises ValueError if the two cannot lie over the same items.
        """
        _refuse_unlike([self, other])
        return Spread(self.estimate - other.estimate, self.values - other.values, self.kind)

    def variance(self) -> float:
        """Of the estimate, over test images."""
        return self._of_estimate(float(np.var(self._known(), ddof=1)))

    def _known(self) -> NDArray[np.float64]:
        return self.values[np.isfinite(self.values)]

    def _of_estimate(self, between_values: float) -> float:
        return between_values / len(self.values) if self.kind == "items" else between_values


def shared_covariance(spreads: Sequence[Spread]) -> float:
    """How far the test images move the scores of different seeds together.

    The covariance of two estimates through their common test images, averaged over all pairs of
    different seeds. Raises ValueError below two spreads, or if they cannot lie over the same items.
    """
    _refuse_unlike(spreads)
    seeds = len(spreads)
    if seeds < 2:
        raise ValueError(f"{seeds} seeds: a covariance between seeds needs at least 2")
    values = np.stack([spread.values for spread in spreads])  # seeds x items
    values = values[:, np.isfinite(values).all(axis=0)]
    # The variance of a sum holds each pair twice, beside every variance once.
    pairs = np.var(values.sum(axis=0), ddof=1) - np.var(values, axis=1, ddof=1).sum()
    return spreads[0]._of_estimate(float(pairs) / (seeds * (seeds - 1)))


def _refuse_unlike(spreads: Sequence[Spread]) -> None:
    for other in spreads[1:]:
        if not spreads[0].comparable(other):
            raise ValueError(
                f"{len(spreads[0].values)} {spreads[0].kind} and {len(other.values)} {other.kind}: "
                "expected the same test items of both"
            )
