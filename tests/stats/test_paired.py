"""Paired tests of two runs, against scipy.stats and statsmodels."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from sslbench.stats.paired import paired_p_value
from sslbench.stats.spread import Spread


def spread(values: NDArray[np.float64], kind: str = "items") -> Spread:
    return Spread(float(np.mean(values)), np.asarray(values, float), kind)  # type: ignore[arg-type]


def of_table(both: int, better: int, worse: int, neither: int) -> tuple[Spread, Spread]:
    a = np.repeat([100, 100, 0, 0], [both, better, worse, neither])
    b = np.repeat([100, 0, 100, 0], [both, better, worse, neither])
    return spread(a), spread(b)


@pytest.mark.parametrize("table", [(50, 9, 2, 30), (5, 3, 3, 5), (900, 60, 41, 700), (0, 0, 7, 1)])
def test_mcnemar_is_statsmodels(table: tuple[int, int, int, int]) -> None:
    both, better, worse, neither = table
    expected = mcnemar([[both, better], [worse, neither]], exact=True).pvalue

    p_value, name = paired_p_value(*of_table(*table))

    assert name == "McNemar"
    assert p_value == pytest.approx(expected, rel=1e-9)


def test_mcnemar_counts_only_what_one_of_the_two_has_right() -> None:
    few, many = of_table(10, 8, 1, 10), of_table(1000, 8, 1, 1000)

    assert paired_p_value(*few) == paired_p_value(*many)
    assert paired_p_value(*few)[0] == pytest.approx(2 * 10 / 2**9)  # 1 + 9 of the 512 outcomes


def test_runs_that_never_disagree_do_not_differ() -> None:
    assert paired_p_value(*of_table(5, 0, 0, 5)) == (1.0, "McNemar")


def test_the_order_of_the_two_does_not_matter() -> None:
    a, b = of_table(5, 9, 2, 5)
    assert paired_p_value(a, b) == paired_p_value(b, a)


def test_other_items_take_students_t_on_their_differences() -> None:
    generator = np.random.default_rng(0)
    a = generator.random(80)
    b = a + 0.1 * generator.normal(size=80) + 0.02

    p_value, name = paired_p_value(spread(a), spread(b))

    assert p_value == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert name == "paired t over test images"


def test_a_run_that_is_right_or_wrong_beside_one_that_is_not_takes_students_t() -> None:
    binary, graded = spread(np.array([0, 100, 100, 0])), spread(np.array([10, 95, 80, 40]))

    expected = stats.ttest_rel(binary.values, graded.values).pvalue
    for one, two in ((binary, graded), (graded, binary)):
        assert paired_p_value(one, two) == (pytest.approx(expected), "paired t over test images")


def test_resamples_take_their_own_deviation() -> None:
    generator = np.random.default_rng(0)
    common = generator.normal(size=200)
    a, b = common + 0.1 * generator.normal(size=200), common - 0.15
    one, two = Spread(0.1, a, "resamples"), Spread(-0.1, b, "resamples")

    p_value, name = paired_p_value(one, two)

    # Not the means of the resamples, which a bias may have moved, but the scores themselves.
    assert p_value == pytest.approx(2 * stats.norm.sf(0.2 / np.std(a - b, ddof=1)))
    assert name == "paired normal over resamples"


def test_a_difference_that_never_varies_is_certain_or_none() -> None:
    values = np.array([0.2, 0.5, 0.75, 1.0])

    assert paired_p_value(spread(values), spread(values))[0] == 1.0
    assert paired_p_value(spread(values, "resamples"), spread(values, "resamples"))[0] == 1.0
    assert paired_p_value(spread(values + 0.25), spread(values))[0] < 1e-9


def test_other_test_items_are_refused() -> None:
    with pytest.raises(ValueError, match="same test items"):
        paired_p_value(spread(np.ones(3)), spread(np.ones(4)))
