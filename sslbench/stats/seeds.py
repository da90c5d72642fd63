"""What the values of several seeds say where there are no test images, and Holm's correction.

Student's t over one value per seed ("The Probable Error of a Mean", Biometrika 6, 1908): for costs,
such as seconds of training. Scores are crossed with their test images (``sslbench.stats.crossed``).
"""

import math
from collections.abc import Sequence
from statistics import fmean, stdev

# scipy is imported where it is used: a table of single seeds does without and is there sooner.


def t_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """(low, high) of the mean of one value per seed. Raises ValueError below two values."""
    n = len(values)
    if n < 2:
        raise ValueError(f"{n} seeds: an interval over seeds needs at least 2")
    from scipy.special import stdtrit

    quantile = float(stdtrit(n - 1, (1 + level) / 2))
    half = quantile * stdev(values) / math.sqrt(n)
    return fmean(values) - half, fmean(values) + half


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given: reject those at most as large as the error rate.

    Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of
    Statistics 6, 1979. Here and not from statsmodels, whose import alone takes a third of the time
    in which a table must be there.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, position in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = highest
    return adjusted
