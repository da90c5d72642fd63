"""Student's t and Holm, against scipy.stats and worked examples."""

import pytest
from scipy import stats

from sslbench.stats.seeds import holm, paired_differences, t_interval, t_test

VALUES = [44.1, 45.3, 43.9, 46.0]


def test_the_interval_of_a_mean_is_scipys() -> None:
    n = len(VALUES)
    expected = stats.t.interval(0.95, n - 1, sum(VALUES) / n, stats.sem(VALUES))

    assert t_interval(VALUES) == pytest.approx(expected, rel=1e-12)


def test_two_seeds_give_the_wide_interval_that_they_deserve() -> None:
    low, high = t_interval([44.0, 45.0])

    assert high - low == pytest.approx(12.7062, rel=1e-4)  # t(1) = 12.706, s / sqrt(2) = 0.5


def test_one_seed_gives_no_interval() -> None:
    with pytest.raises(ValueError, match="1 seeds"):
        t_interval([44.0])


def test_differences_are_taken_over_the_common_seeds() -> None:
    a, b = {2: 5.0, 0: 1.0, 7: 3.0}, {0: 0.5, 2: 4.0, 9: 1.0}

    assert paired_differences(a, b) == [0.5, 1.0]


def test_the_paired_test_is_scipys() -> None:
    others = [43.0, 44.5, 43.8, 44.0]
    differences = [a - b for a, b in zip(VALUES, others, strict=True)]

    assert t_test(differences) == pytest.approx(stats.ttest_rel(VALUES, others).pvalue, rel=1e-10)


def test_equal_differences_are_certain_and_no_differences_are_nothing() -> None:
    assert t_test([0.5, 0.5]) == 0.0
    assert t_test([0.0, 0.0, 0.0]) == 1.0


def test_holm_agrees_with_the_worked_example() -> None:
    # 0.01 x 4, 0.02 x 3, 0.03 x 2, 0.04 x 1, never smaller than the one before.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
