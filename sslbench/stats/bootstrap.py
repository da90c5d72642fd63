"""Percentile bootstrap over test items: how far a score would move with other test images.

Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3. The interval speaks of
the trained network that was measured, never of the method that trained it: for that, seeds are
needed (``sslbench.stats.seeds``).
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

UNDEFINED = 0.05  # share of resamples in which a metric may have no value


def bootstrap_intervals(
    items: int,
    score: Callable[[NDArray[np.intp]], Mapping[str, float]],
    seed: int,
    resamples: int = 1000,
    level: float = 0.95,
    centre: Mapping[str, float] | None = None,
) -> dict[str, tuple[float, float]]:
    """(low, high) of each metric over resamples of the test items.

    ``score`` takes the positions that were drawn (shape: items, with repetitions, sorted) and gives
    every metric, each time the same ones. A metric without a value (NaN) in more than 5 % of the
    resamples, such as the accuracy of a class that was not drawn, gets no interval. ``centre``
    shifts each metric's resamples to have that mean: a score that is no mean over items may be
    biased when items repeat, as average precision is (a detector that is right on an image is
    right on all its copies).
    Raises ValueError if there is nothing to resample.
    """
    if items < 2 or resamples < 2:
        raise ValueError(f"{items} items and {resamples} resamples: expected at least 2 of each")
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn: dict[str, list[float]] = {}
    for _ in range(resamples):
        # Sorted, because reading a table in order is several times faster than at random.
        positions = np.sort(generator.integers(items, size=items))
        for name, value in score(positions).items():
            drawn.setdefault(name, []).append(value)
    tail = (1 - level) / 2
    intervals = {}
    for name, values in drawn.items():
        known = np.asarray(values)[np.isfinite(values)]
        if resamples - len(known) <= UNDEFINED * resamples:
            low, high = np.quantile(known, [tail, 1 - tail])
            if centre is not None:
                low, high = np.array([low, high]) + centre[name] - known.mean()
            intervals[name] = (float(low), float(high))
    return intervals
