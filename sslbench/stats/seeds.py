"""What several seeds say: intervals of a mean, paired differences, Holm's correction.

Student's t over the values of the seeds (Student, "The Probable Error of a Mean", 1908), on
differences where two methods share their seeds. Holm, "A Simple Sequentially Rejective Multiple
Test Procedure", 1979. The test images are taken as given here; variance components of crossed
seeds and images are to stand in a module of their own beside this one.
"""

import math
from collections.abc import Mapping, Sequence
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


def paired_differences(a: Mapping[int, float], b: Mapping[int, float]) -> list[float]:
    """a - b for every seed that both have, in the order of the seeds."""
    return [a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())]


def t_test(differences: Sequence[float]) -> float:
    """Two-sided p-value of "the mean difference is 0". Raises ValueError below two values."""
    n = len(differences)
    if n < 2:
        raise ValueError(f"{n} common seeds: a paired test needs at least 2")
    mean, deviation = fmean(differences), stdev(differences)
    if deviation == 0:
        return 1.0 if mean == 0 else 0.0
    from scipy.special import stdtr

    return float(2 * stdtr(n - 1, -abs(mean) / (deviation / math.sqrt(n))))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given: reject those at most as large as the error rate."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, position in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = highest
    return adjusted
