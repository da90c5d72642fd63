"""Crossed seeds and images, against the classical analysis of variance and its limits."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from sslbench.stats.crossed import crossed
from sslbench.stats.seeds import t_interval
from sslbench.stats.spread import Spread


def spreads(values: NDArray[np.float64], kind: str = "items") -> list[Spread]:
    return [Spread(float(v.mean()), v, kind) for v in values]  # type: ignore[arg-type]


def scores(seeds: int, images: int, by_seed: float, by_image: float) -> NDArray[np.float64]:
    generator = np.random.default_rng(seeds)
    return (
        60
        + by_seed * generator.normal(size=(seeds, 1))
        + by_image * generator.normal(size=(1, images))
        + generator.normal(size=(seeds, images))
    )


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_variance_is_that_of_the_two_way_analysis_of_variance(seeds: int) -> None:
    images = 40
    table = scores(seeds, images, by_seed=1.0, by_image=2.0)
    # Sums of squares in the textbook's way, one term at a time.
    grand, of_seed, of_image = table.mean(), table.mean(axis=1), table.mean(axis=0)
    ms_seeds = sum(images * (m - grand) ** 2 for m in of_seed) / (seeds - 1)
    ms_images = sum(seeds * (m - grand) ** 2 for m in of_image) / (images - 1)
    residual = sum(
        (table[s, i] - of_seed[s] - of_image[i] + grand) ** 2
        for s in range(seeds)
        for i in range(images)
    )
    ms_residual = residual / ((seeds - 1) * (images - 1))
    expected = (ms_seeds + ms_images - ms_residual) / (seeds * images)

    found = crossed(spreads(table))

    half = (found.high - found.low) / 2
    assert (half / stats.t.ppf(0.975, found.freedom)) ** 2 == pytest.approx(expected, rel=1e-9)
    assert found.mean == pytest.approx(grand)
    assert found.seed_deviation == pytest.approx(math.sqrt(ms_seeds / images))
    assert found.seeds == seeds


def test_the_freedom_lies_between_that_of_the_seeds_and_satterthwaites() -> None:
    table = scores(3, 40, by_seed=0.3, by_image=2.0)
    own = np.var(table.mean(axis=1), ddof=1) / 3
    covariances = np.cov(table)
    shared = covariances[~np.eye(3, dtype=bool)].mean() / 40
    satterthwaite = (own + shared) ** 2 / (own**2 / 2 + shared**2 / 39)

    found = crossed(spreads(table))

    assert 2 < found.freedom < satterthwaite
    harmonic = 1 / (own / (own + shared) / 2 + shared / (own + shared) / 39)
    assert found.freedom == pytest.approx(harmonic)


def test_a_negative_covariance_counts_as_none() -> None:
    image = np.random.default_rng(0).normal(size=40)
    table = np.stack([3.0 + image, 5.0 - image])  # what lifts one seed lowers the other

    found = crossed(spreads(table))

    assert (found.low, found.high) == pytest.approx(t_interval(table.mean(axis=1).tolist()))
    assert found.freedom == pytest.approx(1)


def test_images_that_all_score_alike_leave_students_t_over_seeds() -> None:
    values = [44.1, 45.3, 43.9, 46.0]

    found = crossed(spreads(np.repeat(np.array(values)[:, None], 30, axis=1)))

    assert (found.low, found.high) == pytest.approx(t_interval(values))
    assert found.freedom == pytest.approx(3)
    assert found.p_value == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_seeds_that_all_score_alike_leave_students_t_over_images() -> None:
    image = np.random.default_rng(0).normal(size=30)

    found = crossed(spreads(np.stack([image] * 3)))

    expected = stats.t.interval(0.95, 29, image.mean(), stats.sem(image))
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.seed_deviation == pytest.approx(0)


def test_seeds_that_agree_by_chance_do_not_make_a_mean_certain() -> None:
    # Two seeds gain the same two points on different images: neither term has anything to say.
    one, two = np.zeros(100), np.zeros(100)
    one[:2], two[2:4] = 100.0, 100.0

    found = crossed(spreads(np.stack([one, two])))

    of_mean = (one + two) / 2
    assert found.p_value == pytest.approx(stats.ttest_1samp(of_mean, 0).pvalue)
    assert found.low < 2 < found.high


def test_where_nothing_varies_there_is_no_doubt_and_no_nan() -> None:
    nothing, five = crossed(spreads(np.zeros((3, 10)))), crossed(spreads(np.full((3, 10), 5.0)))

    assert (nothing.low, nothing.high, nothing.p_value) == (0, 0, 1)
    assert (five.low, five.high, five.p_value) == (5, 5, 0)
    assert math.isfinite(nothing.freedom)
    assert math.isfinite(five.freedom)


def test_the_test_says_what_the_interval_says() -> None:
    table = scores(4, 50, by_seed=0.2, by_image=0.5) - 60
    for shift in np.linspace(-2, 2, 41):
        found = crossed(spreads(table + shift))
        assert (found.p_value <= 0.05) == (not found.low <= 0 <= found.high)


def test_a_wider_level_gives_a_wider_interval() -> None:
    narrow, wide = (crossed(spreads(scores(3, 40, 1, 1)), level) for level in (0.8, 0.99))

    assert wide.low < narrow.low < narrow.high < wide.high
    assert (narrow.level, wide.level) == (0.8, 0.99)


def test_resamples_say_what_the_items_that_they_are_made_of_say() -> None:
    table = scores(3, 300, by_seed=0.05, by_image=2.0)
    drawn = np.random.default_rng(0).integers(300, size=(4000, 300))
    resampled = np.stack([run[drawn].mean(axis=1) for run in table])
    of_resamples = [
        Spread(float(run.mean()), r, "resamples") for run, r in zip(table, resampled, strict=True)
    ]

    items, found = crossed(spreads(table)), crossed(of_resamples)

    assert found.mean == items.mean
    assert found.high - found.low == pytest.approx(items.high - items.low, rel=0.05)


def test_one_seed_cannot_be_crossed() -> None:
    with pytest.raises(ValueError, match="1 seeds"):
        crossed(spreads(np.zeros((1, 10))))


def test_seeds_on_other_items_cannot_be_crossed() -> None:
    with pytest.raises(ValueError, match="same test items"):
        crossed([*spreads(np.zeros((2, 10))), *spreads(np.zeros((1, 11)))])
