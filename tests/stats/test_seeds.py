"""Student's t and Holm, against scipy.stats, statsmodels and worked examples."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from sslbench.stats.seeds import holm, t_interval

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


def test_holm_agrees_with_the_worked_example() -> None:
    # 0.01 x 4, 0.02 x 3, 0.03 x 2, 0.04 x 1, never smaller than the one before.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_agrees_with_statsmodels() -> None:
    p_values = np.random.default_rng(0).random(30) ** 3

    expected = multipletests(p_values, method="holm")[1]
    assert holm(p_values.tolist()) == pytest.approx(expected.tolist(), rel=1e-12)
