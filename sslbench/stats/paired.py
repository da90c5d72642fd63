"""One seed each: whether two runs differ on the same test images.

The answer speaks of these two runs, never of the methods that trained them: another seed would have
given other runs. McNemar, "Note on the Sampling Error of the Difference Between Correlated
Proportions or Percentages", Psychometrika 12, 1947, in its exact form: of the items that just one
of two equally good runs has right, each has half. Dietterich, "Approximate Statistical Tests for
Comparing Supervised Classification Learning Algorithms", Neural Computation 10, 1998, recommends it
for two networks on one test set.
"""

import math

from sslbench.stats.spread import Spread

# scipy is imported where it is used: a table without comparisons is there sooner.


def paired_p_value(a: Spread, b: Spread) -> tuple[float, str]:
    """(two-sided p-value of "the two score alike", name of the test).

    Exact McNemar where every item is right or wrong; Student's t on the differences of other items;
    for scores that are no means over items, the difference in standard deviations of itself over
    the resamples. Raises ValueError if the two cannot lie over the same test items.
    """
    difference = a.minus(b)
    if a.binary and b.binary:
        better, worse = int((difference.values > 0).sum()), int((difference.values < 0).sum())
        return _mcnemar(better, worse), "McNemar"
    if difference.kind == "items":
        freedom, name = float(len(difference.values) - 1), "paired t over test images"
    else:
        freedom, name = math.inf, "paired normal over resamples"
    return _student(difference.estimate, difference.variance(), freedom), name


def _mcnemar(better: int, worse: int) -> float:
    """Binomial on the items that only one of the two has right."""
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(better, worse), better + worse, 0.5)))


def _student(difference: float, variance: float, freedom: float) -> float:
    if variance == 0:
        return 1.0 if difference == 0 else 0.0
    from scipy.special import ndtr, stdtr

    score = -abs(difference) / math.sqrt(variance)
    return 2 * float(ndtr(score) if math.isinf(freedom) else stdtr(freedom, score))
