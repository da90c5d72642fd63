"""Resampling test items: how far a score would move with other test images.

Bootstrap resamples, as many items as there are, drawn with repetition: Efron & Tibshirani, "An
Introduction to the Bootstrap", 1993, section 13.3. Half-samples, half of the items and none twice,
for statistics that repeated items bias, as a cluster index is (copies of an image are alike) or
retrieval (a copy is its own nearest match): around the score of all n items that of n / 2 of them
has the variance (1 - 1/2) sigma^2 / (n / 2) = sigma^2 / n, which is that of a bootstrap resample
(Politis & Romano, "Large Sample Confidence Regions Based on Subsamples", Annals of Statistics 22,
1994).

The interval speaks of the trained network that was measured, never of the method that trained it:
for that, seeds are needed (``sslbench.stats.crossed``).
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

# One for all runs: whoever scores the same number of items draws the same ones, so that differences
# and covariances can be taken resample by resample.
SEED = 0
UNDEFINED = 0.05  # share of resamples in which a metric may have no value

Positions = NDArray[np.intp]


def drawn_items(items: int, resamples: int, halves: bool) -> Iterator[Positions]:
    """The positions of each resample, sorted; the same at every call.

    Raises ValueError if there is nothing to resample.
    """
    if items < 2 or resamples < 2:
        raise ValueError(f"{items} items and {resamples} resamples: expected at least 2 of each")
    generator = np.random.Generator(np.random.PCG64(SEED))
    for _ in range(resamples):
        if halves:
            drawn = generator.permutation(items)[: items // 2]
        else:
            drawn = generator.integers(items, size=items)
        # Sorted, because reading a table in order is several times faster than at random.
        yield np.sort(drawn)


def resampled_scores(
    items: int,
    score: Callable[[Positions], Mapping[str, float]],
    resamples: int,
    halves: bool = False,
) -> dict[str, NDArray[np.float64]]:
    """Every metric over the resamples, NaN where it has no value.

    ``score`` takes the positions that were drawn and gives every metric, each time the same ones. A
    metric without a value in more than 5 % of the resamples, such as the accuracy of a class that
    was not drawn, is left out. Raises ValueError if there is nothing to resample.
    """
    found: dict[str, list[float]] = {}
    for positions in drawn_items(items, resamples, halves):
        for name, value in score(positions).items():
            found.setdefault(name, []).append(value)
    scores = {name: np.asarray(values, dtype=np.float64) for name, values in found.items()}
    return {
        name: values
        for name, values in scores.items()
        if np.count_nonzero(~np.isfinite(values)) <= UNDEFINED * resamples
    }


def percentile_interval(
    scores: NDArray[np.float64], level: float = 0.95, centre: float | None = None
) -> tuple[float, float]:
    """(low, high) out of the scores of the resamples.

    ``centre`` shifts them to have that mean: a score that is no mean over items may be biased when
    items repeat, as average precision is (a detector that is right on an image is right on all its
    copies), or when there are fewer of them.
    """
    known = scores[np.isfinite(scores)]
    tail = (1 - level) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    shift = 0.0 if centre is None else centre - known.mean()
    return float(low + shift), float(high + shift)
