"""Intervals over test items, against formulas that need no resampling."""

import math
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from sslbench.stats.bootstrap import bootstrap_intervals


def test_the_interval_of_an_accuracy_is_that_of_a_proportion() -> None:
    correct = np.arange(2000) < 1200  # 60 %

    low, high = bootstrap_intervals(2000, lambda p: {"top1": correct[p].mean()}, seed=0)["top1"]

    half = 1.96 * math.sqrt(0.6 * 0.4 / 2000)
    assert low == pytest.approx(0.6 - half, abs=0.003)
    assert high == pytest.approx(0.6 + half, abs=0.003)


def test_the_interval_covers_the_truth_as_often_as_promised() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        values = generator.normal(size=60)
        interval = bootstrap_intervals(60, lambda p, v=values: {"m": v[p].mean()}, trial, 200)
        covered += interval["m"][0] <= 0 <= interval["m"][1]
    assert 0.88 <= covered / 200 <= 0.99


def test_the_same_seed_gives_the_same_interval_and_another_seed_does_not() -> None:
    values = np.arange(50.0)

    def interval(seed: int) -> dict[str, tuple[float, float]]:
        return bootstrap_intervals(50, lambda p: {"m": values[p].mean()}, seed, resamples=100)

    assert interval(3) == interval(3)
    assert interval(3) != interval(4)


def test_as_many_items_are_drawn_as_there_are_with_repetitions() -> None:
    drawn: list[NDArray[np.intp]] = []

    def score(positions: NDArray[np.intp]) -> Mapping[str, float]:
        drawn.append(positions)
        return {"m": 0.0}

    bootstrap_intervals(30, score, seed=0, resamples=50)

    assert len(drawn) == 50
    assert all(len(p) == 30 and p.min() >= 0 and p.max() < 30 for p in drawn)
    assert all(len(set(p.tolist())) < 30 for p in drawn)
    counts = np.bincount(np.concatenate(drawn), minlength=30)
    assert counts.min() > 25  # of 50 expected: no item is left out


def test_a_metric_that_is_often_undefined_has_no_interval() -> None:
    calls = iter(range(1000))

    def score(positions: NDArray[np.intp]) -> dict[str, float]:
        call = next(calls)
        rare = float("nan") if call % 50 == 0 else 1.0
        often = float("nan") if call % 10 == 0 else 1.0
        return {"rare": rare, "often": often}

    assert bootstrap_intervals(10, score, 0, resamples=100) == {"rare": (1.0, 1.0)}


def test_one_item_cannot_be_resampled() -> None:
    with pytest.raises(ValueError, match="1 items"):
        bootstrap_intervals(1, lambda p: {"m": 0.0}, seed=0)


def test_a_score_that_repetition_favours_is_centred_on_its_estimate() -> None:
    values = np.random.default_rng(0).normal(size=200)

    def spread(drawn: np.ndarray) -> dict[str, float]:
        return {"distinct": float(len(np.unique(drawn))) + float(values[drawn].mean())}

    estimate = {"distinct": 200 + float(values.mean())}
    plain = bootstrap_intervals(200, spread, 0, 400)["distinct"]
    centred = bootstrap_intervals(200, spread, 0, 400, centre=estimate)["distinct"]
    assert plain[1] < estimate["distinct"]  # no resample has 200 distinct items
    assert centred[0] < estimate["distinct"] < centred[1]
    assert centred[1] - centred[0] == pytest.approx(plain[1] - plain[0])
