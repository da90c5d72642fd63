"""Resamples of test items, against formulas and samples that need no resampling."""

import math
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import adjusted_mutual_info_score

from sslbench.stats.bootstrap import drawn_items, percentile_interval, resampled_scores


def test_the_interval_of_an_accuracy_is_that_of_a_proportion() -> None:
    correct = np.arange(2000) < 1200  # 60 %

    scores = resampled_scores(2000, lambda p: {"top1": correct[p].mean()}, 1000)["top1"]
    low, high = percentile_interval(scores)

    half = 1.96 * math.sqrt(0.6 * 0.4 / 2000)
    assert low == pytest.approx(0.6 - half, abs=0.003)
    assert high == pytest.approx(0.6 + half, abs=0.003)


def test_a_higher_level_cuts_less_off_either_end() -> None:
    scores = np.arange(101.0)

    assert percentile_interval(scores) == pytest.approx((2.5, 97.5))
    assert percentile_interval(scores, level=0.8) == pytest.approx((10, 90))


@pytest.mark.parametrize("halves", [False, True])
def test_all_tables_of_one_size_draw_the_same_items(halves: bool) -> None:
    first, second = (list(drawn_items(30, 20, halves)) for _ in range(2))

    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(np.array_equal(a, first[0]) for a in first)
    assert all(np.array_equal(np.sort(drawn), drawn) for drawn in first)


def test_as_many_items_are_drawn_as_there_are_with_repetitions() -> None:
    drawn = list(drawn_items(30, 50, halves=False))

    assert len(drawn) == 50
    assert all(len(p) == 30 and p.min() >= 0 and p.max() < 30 for p in drawn)
    assert all(len(set(p.tolist())) < 30 for p in drawn)
    counts = np.bincount(np.concatenate(drawn), minlength=30)
    assert counts.min() > 25  # of 50 expected: no item is left out


@pytest.mark.parametrize("items", [30, 31])
def test_half_of_the_items_are_drawn_and_none_twice(items: int) -> None:
    drawn = list(drawn_items(items, 60, halves=True))

    assert all(len(p) == 15 == len(set(p.tolist())) for p in drawn)
    counts = np.bincount(np.concatenate(drawn), minlength=items)
    assert counts.min() > 15  # of 30 expected
    assert counts.max() < 45


def test_a_mean_moves_as_far_over_halves_as_over_resamples_and_as_the_formula_says() -> None:
    values = np.random.default_rng(0).exponential(size=400)

    def mean(positions: NDArray[np.intp]) -> Mapping[str, float]:
        return {"mean": float(values[positions].mean())}

    resamples = resampled_scores(400, mean, 4000)["mean"]
    halves = resampled_scores(400, mean, 4000, halves=True)["mean"]

    expected = values.std() / math.sqrt(400)
    assert halves.std() == pytest.approx(expected, rel=0.04)
    assert resamples.std() == pytest.approx(expected, rel=0.04)
    assert halves.mean() == pytest.approx(values.mean(), abs=3 * expected / math.sqrt(4000))


def test_halves_stand_where_repeated_items_bias() -> None:
    generator = np.random.default_rng(0)

    def sample() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Classes, and clusters that follow them in three of ten cases."""
        classes = generator.integers(10, size=300)
        finer = 2 * classes + generator.integers(2, size=300)
        return classes, np.where(
            generator.random(300) < 0.3, finer, generator.integers(20, size=300)
        )

    classes, clusters = sample()
    estimate = adjusted_mutual_info_score(classes, clusters)
    truth = np.array([adjusted_mutual_info_score(*sample()) for _ in range(300)])

    def score(positions: NDArray[np.intp]) -> Mapping[str, float]:
        return {"ami": adjusted_mutual_info_score(classes[positions], clusters[positions])}

    resamples = resampled_scores(300, score, 200)["ami"]
    halves = resampled_scores(300, score, 200, halves=True)["ami"]
    low, high = percentile_interval(halves, centre=estimate)

    # Copies of an image agree with one another, which the index takes for agreement of clusters.
    assert resamples.mean() > estimate + 3 * truth.std()
    assert halves.mean() == pytest.approx(estimate, abs=0.5 * truth.std())
    assert halves.std() == pytest.approx(truth.std(), rel=0.3)
    assert (low + high) / 2 == pytest.approx(estimate, abs=0.3 * truth.std())
    assert low < truth.mean() < high


def test_a_score_that_repetition_favours_is_centred_on_its_estimate() -> None:
    values = np.random.default_rng(0).normal(size=200)

    def distinct(drawn: NDArray[np.intp]) -> dict[str, float]:
        return {"distinct": float(len(np.unique(drawn))) + float(values[drawn].mean())}

    estimate = 200 + float(values.mean())
    scores = resampled_scores(200, distinct, 400)["distinct"]
    plain, centred = percentile_interval(scores), percentile_interval(scores, centre=estimate)
    assert plain[1] < estimate  # no resample has 200 distinct items
    assert centred[0] < estimate < centred[1]
    assert centred[1] - centred[0] == pytest.approx(plain[1] - plain[0])


def test_a_metric_that_is_often_undefined_is_left_out() -> None:
    calls = iter(range(1000))

    def score(positions: NDArray[np.intp]) -> dict[str, float]:
        call = next(calls)
        rare = float("nan") if call % 50 == 0 else 1.0
        often = float("nan") if call % 10 == 0 else 1.0
        return {"rare": rare, "often": often}

    scores = resampled_scores(10, score, 100)

    assert scores.keys() == {"rare"}
    assert np.isnan(scores["rare"]).sum() == 2
    assert percentile_interval(scores["rare"]) == (1.0, 1.0)


def test_one_item_cannot_be_resampled() -> None:
    with pytest.raises(ValueError, match="1 items"):
        resampled_scores(1, lambda p: {"m": 0.0}, 100)
