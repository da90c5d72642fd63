"""Several seeds: the mean and the mean paired difference, over seeds and test images at once.

Every seed is scored on the same test images, so seeds and images are crossed: a two-way random
model without replication (Searle, Casella & McCulloch, "Variance Components", 1992, chapter 4).
With S seeds whose estimates have the sample variance s^2, and of which two share the covariance c
through their images, the mean has the variance s^2 / S + c. Over items that is the classical
(MS_seeds + MS_images - MS_residual) / (S I); in terms of covariances it also holds for scores that
are no means over items. A negative c counts as 0. Where both terms vanish, because a few seeds came
to the same score by chance, the variance of the mean over images alone stands.

Degrees of freedom. Satterthwaite ("An Approximate Distribution of Estimates of Variance
Components", Biometrics 2, 1946) adds up 1 / freedom of the terms, weighted by the squares of their
shares in the variance. That overrates a few seeds: where s^2 is far too small by chance, c seems
to be nearly all of the variance, and what is promised for 95 % holds in 92 % (3 seeds that differ
by 3 points). Here the weights are the shares themselves. That never gives more freedom, gives the
same where one term is all, and keeps the promise from three seeds on (it holds in 94 to 97 %, with
two seeds in 91 to 96 %; tests/stats/test_coverage.py). It is nearly what Cochran & Cox
("Experimental Designs", 1957) do, who weight the quantiles by the shares.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from sslbench.stats.spread import Spread, shared_covariance

# scipy is imported where it is used: a table of single seeds does without and is there sooner.

ROUNDING = 1e-9  # of a variance: what equal scores may differ by in the last digit


@dataclass(frozen=True)
class Crossed:
    """The mean over several seeds, as far as it holds for other seeds and other test images."""

    mean: float
    low: float
    high: float
    level: float
    freedom: float  # degrees of freedom of Student's t
    seed_deviation: float  # standard deviation of the estimates over seeds
    p_value: float  # two-sided, of "the mean is 0": of use for differences
    seeds: int


def crossed(spreads: Sequence[Spread], level: float = 0.95) -> Crossed:
    """The mean of one spread per seed, with its interval.

    Raises ValueError below two seeds, or if the spreads cannot lie over the same test items.
    """
    seeds = len(spreads)
    covariance = shared_covariance(spreads)  # refuses what cannot be compared
    estimates = [spread.estimate for spread in spreads]
    mean, between = fmean(estimates), variance(estimates)
    error, freedom = _variance_of_mean(
        between, fmean(spread.variance() for spread in spreads), covariance, seeds, spreads[0]
    )
    half, p_value = 0.0, 1.0 if mean == 0 else 0.0
    if error > 0:
        from scipy.special import stdtr, stdtrit

        half = float(stdtrit(freedom, (1 + level) / 2)) * math.sqrt(error)
        p_value = float(2 * stdtr(freedom, -abs(mean) / math.sqrt(error)))
    return Crossed(
        mean, mean - half, mean + half, level, freedom, math.sqrt(between), p_value, seeds
    )


def _variance_of_mean(
    between: float, within: float, covariance: float, seeds: int, spread: Spread
) -> tuple[float, float]:
    """(variance of the mean over seeds, degrees of freedom).

    ``between``: variance of the estimates over seeds; ``within``: of one estimate over test images;
    ``covariance``: of two estimates over their common test images.
    """
    images = len(spread.values) - 1  # the freedom of what comes from the images
    own, shared = between / seeds, max(covariance, 0.0)
    from_images = (within + (seeds - 1) * covariance) / seeds
    if own + shared <= ROUNDING * from_images:
        return from_images, float(images)
    total = own + shared
    return total, total / (own / (seeds - 1) + shared / images) if total > 0 else float(images)
