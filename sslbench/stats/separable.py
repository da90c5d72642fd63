"""Which of several methods may be called the best.

Two levels of claim. With several seeds each, a paired t-test over the common seeds, corrected by
Holm for the number of comparisons, speaks of the methods. With one seed each, the intervals over
test images must not overlap, which is stricter than a test, and speaks of these runs only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from sslbench.stats.seeds import holm, paired_differences, t_test


@dataclass(frozen=True)
class Sample:
    """What is known of one method on one metric."""

    values: Mapping[int, float]  # by seed, at least one
    interval: tuple[float, float] | None  # of the only seed's value, over test images

    @property
    def mean(self) -> float:
        return fmean(self.values.values())


def separable_best(
    samples: Sequence[Sample], higher_is_better: bool, level: float = 0.95
) -> int | None:
    """The position of the sample that is better than every other, or None if none is.

    A sample with one seed and a sample with several are never told apart. That the best is chosen
    by the same values costs nothing: it must be told apart from each of the others, the second
    best among them.
    """
    if len(samples) < 2:
        return None
    sign = 1 if higher_is_better else -1
    best = max(range(len(samples)), key=lambda position: sign * samples[position].mean)
    top = samples[best]
    p_values = []
    for other in (sample for position, sample in enumerate(samples) if position != best):
        if len(top.values) == 1 and len(other.values) == 1:
            if not _apart(top, other, higher_is_better):
                return None
            continue
        differences = paired_differences(top.values, other.values)
        if len(differences) < 2 or sign * fmean(differences) <= 0:
            return None
        p_values.append(t_test(differences))
    return best if all(p <= 1 - level for p in holm(p_values)) else None


def _apart(better: Sample, worse: Sample, higher_is_better: bool) -> bool:
    if better.interval is None or worse.interval is None:
        return False
    if higher_is_better:
        return better.interval[0] > worse.interval[1]
    return better.interval[1] < worse.interval[0]
