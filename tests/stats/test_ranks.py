"""Ranks over data sets, against Demsar's worked example and his formulas."""

import math

import numpy as np
import pytest
from scipy import stats

from sslbench.stats.ranks import LEAST_DATASETS, rank

# Areas under the curve of Demsar's table 6, a row per data set. In the last row but one the table
# prints 0.975 twice, but ranks the former above the latter: they differ behind the third decimal.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.97501, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
).T
NAMES = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")


def test_the_mean_ranks_are_those_of_the_paper() -> None:
    found = rank(DEMSAR, NAMES)

    assert found.mean_ranks == pytest.approx((3.143, 2.000, 2.893, 1.964), abs=5e-4)
    assert (found.names, found.datasets) == (NAMES, 14)
    assert found.test == "Friedman and Nemenyi"


def test_friedmans_statistic_is_that_of_the_paper_but_for_its_ties() -> None:
    ranks = np.array(rank(DEMSAR, NAMES).mean_ranks)
    statistic = 12 * 14 / (4 * 5) * ((ranks**2).sum() - 4 * 5**2 / 4)
    assert statistic == pytest.approx(9.28, abs=5e-3)

    # Ties make ranks vary less, for which scipy divides and the paper does not.
    tied = sum(t**3 - t for row in DEMSAR.T for t in np.unique(row, return_counts=True)[1])
    corrected = statistic / (1 - tied / (14 * (4**3 - 4)))
    assert rank(DEMSAR, NAMES).p_value == pytest.approx(stats.chi2.sf(corrected, 3), rel=1e-9)


@pytest.mark.parametrize(("level", "quantile"), [(0.95, 2.569), (0.90, 2.291)])
def test_the_critical_difference_is_that_of_the_paper(level: float, quantile: float) -> None:
    found = rank(DEMSAR, NAMES, level)

    # Table 5(a) of the paper holds the quantiles to three decimals.
    expected = quantile * math.sqrt(4 * 5 / (6 * 14))
    assert found.critical_difference == pytest.approx(expected, abs=5e-4)


def test_methods_within_the_critical_difference_are_one_group() -> None:
    # 3.143 - 1.964 is below 1.25 (at 95 %) and above 1.12 (at 90 %).
    assert rank(DEMSAR, NAMES).groups == (("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"),)
    assert rank(DEMSAR, NAMES, 0.90).groups == (
        ("C4.5+m+cf", "C4.5+m", "C4.5+cf"),
        ("C4.5+cf", "C4.5"),
    )


def test_groups_are_the_runs_that_no_critical_difference_parts() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        scores = generator.normal(size=(7, 12)) + 0.4 * np.arange(7)[:, None]
        names = [str(position) for position in range(7)]
        found = rank(scores, names)
        mean, critical = dict(zip(names, found.mean_ranks, strict=True)), found.critical_difference
        assert critical is not None
        order = sorted(names, key=mean.__getitem__)
        runs = [
            tuple(order[a:b])
            for a in range(7)
            for b in range(a + 2, 8)
            if mean[order[b - 1]] - mean[order[a]] < critical
        ]
        inside = {small for small in runs for large in runs if set(small) < set(large)}
        assert found.groups == tuple(some for some in runs if some not in inside)


def test_methods_that_friedman_does_not_part_are_one_group() -> None:
    # Nemenyi's test alone would part the first from the last.
    scores = [[1, 3, 8, 4, 9, 9], [4, 11, 2, 2, 7, 2], [5, 6, 5, 11, 4, 10], [9, 13, 10, 12, 13, 5]]

    found = rank(np.array(scores, dtype=float), NAMES)

    assert 0.05 < found.p_value < 0.051
    assert found.critical_difference is not None
    assert np.ptp(found.mean_ranks) > found.critical_difference
    assert len(found.groups) == 1
    assert set(found.groups[0]) == set(NAMES)


def test_equal_differences_share_their_ranks_whatever_the_last_digit() -> None:
    one = np.array([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.7])
    two = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8])
    assert len(set(abs(one - two).tolist())) > 1  # 0.1, and what floats make of it

    expected = stats.wilcoxon([0.1] * 6 + [-0.1], zero_method="zsplit").pvalue
    assert rank(np.stack([one, two]), ["a", "b"]).p_value == pytest.approx(expected)


def test_the_best_score_has_rank_one() -> None:
    found = rank(np.arange(15.0).reshape(3, 5), ["low", "middle", "high"])

    assert found.mean_ranks == (3, 2, 1)


def test_two_methods_are_compared_by_signed_ranks() -> None:
    found = rank(DEMSAR[:2], NAMES[:2])

    # The paper's example of the test: the smaller sum of ranks is 12.
    expected = stats.wilcoxon(DEMSAR[0] - DEMSAR[1], zero_method="zsplit")
    assert expected.statistic == 12
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.test, found.critical_difference) == ("Wilcoxon signed-rank", None)
    assert found.groups == ()
    assert rank(DEMSAR[:2, :6], NAMES[:2]).groups == (("C4.5+m", "C4.5"),)


@pytest.mark.parametrize("methods", [2, 3])
def test_methods_that_always_score_alike_are_one_group(methods: int) -> None:
    found = rank(np.ones((methods, 5)), NAMES[:methods])

    assert found.p_value == 1.0
    assert found.groups == (NAMES[:methods],)
    assert set(found.mean_ranks) == {(methods + 1) / 2}


def test_what_cannot_be_ranked_is_refused() -> None:
    with pytest.raises(ValueError, match="4 data sets: ranks need at least 5"):
        rank(DEMSAR[:, : LEAST_DATASETS - 1], NAMES)
    with pytest.raises(ValueError, match="2 or more rows"):
        rank(DEMSAR[:1], NAMES[:1])
    with pytest.raises(ValueError, match="one per name"):
        rank(DEMSAR, NAMES[:3])
    with pytest.raises(ValueError, match="finite"):
        rank(np.where(DEMSAR == 1, np.nan, DEMSAR), NAMES)
