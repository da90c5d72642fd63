"""Do 95 % intervals hold the truth in 95 % of cases, and do tests of nothing find nothing?

A simulated run is right or wrong on each image of a test set. An image has a latent difficulty,
common to all runs, for they find the same images hard; a method has its own leanings on top; what
is left differs from run to run. All parts are standard normal times a size. An image is right where

    ability x sqrt(1 + sum of the squared sizes) + difficulty + leaning + noise > 0,

so that the accuracy of a run over the population of images is Phi(ability), exactly known. It is
drawn per seed around the method's accuracy. With one seed the truth is that run's own accuracy,
with several it is the method's, over all seeds and all images.
"""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtri

from sslbench.stats.bootstrap import drawn_items, percentile_interval
from sslbench.stats.crossed import crossed
from sslbench.stats.paired import paired_p_value
from sslbench.stats.spread import Spread

IMAGES = 1500
TRIALS = 1000
DIFFICULTY = 1.2  # standard deviation of an image's difficulty; what differs between runs has 1
LEANING = 0.7  # of what a method finds hard beyond others

Items = NDArray[np.float64]


def right(generator: np.random.Generator, accuracies: Items, *common: tuple[float, Items]) -> Items:
    """0 or 100, runs x images. ``common``: parts of the difficulty, each with its deviation."""
    noise = generator.standard_normal((len(accuracies), IMAGES), dtype=np.float32)
    deviation = np.sqrt(1 + sum(size**2 for size, _ in common))
    hidden = noise + sum(size * part for size, part in common)
    return np.where(ndtri(accuracies / 100)[:, None] * deviation + hidden > 0, 100.0, 0.0)


def seeds_of(
    generator: np.random.Generator, seeds: int, mean: float, deviation: float, difficulty: Items
) -> list[Spread]:
    """The runs of one method on one test set."""
    accuracies = mean + deviation * generator.standard_normal(seeds)
    leaning = (LEANING, generator.standard_normal(IMAGES))
    items = right(generator, accuracies, (DIFFICULTY, difficulty), leaning)
    return [Spread(float(run.mean()), run, "items") for run in items]


@pytest.mark.parametrize("deviation", [0.0, 1.0, 3.0])
def test_the_interval_of_one_run_covers_its_own_accuracy(deviation: float) -> None:
    generator = np.random.default_rng(1)
    accuracies = 60 + deviation * generator.standard_normal(TRIALS)
    difficulty = [(DIFFICULTY, generator.standard_normal((TRIALS, IMAGES)))]  # a test set per trial
    items = right(generator, accuracies, *difficulty)
    draws = drawn_items(IMAGES, 1000, halves=False)
    times = np.stack([np.bincount(drawn, minlength=IMAGES) for drawn in draws])

    scores = items @ times.T / IMAGES  # trials x resamples, all means in one product
    bounds = np.array([percentile_interval(resamples) for resamples in scores])

    covered = (bounds[:, 0] <= accuracies) & (accuracies <= bounds[:, 1])
    assert 0.93 <= covered.mean() <= 0.97


@pytest.mark.parametrize("deviation", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("seeds", [3, 5])
def test_the_interval_of_several_seeds_covers_the_method(seeds: int, deviation: float) -> None:
    generator = np.random.default_rng(2)
    covered = 0
    for _ in range(TRIALS):
        difficulty = generator.standard_normal(IMAGES)
        found = crossed(seeds_of(generator, seeds, 60.0, deviation, difficulty))
        covered += found.low <= 60 <= found.high
    assert 0.93 <= covered / TRIALS <= 0.97


def rejected(seeds: int, deviation: float, better_by: float, trials: int = TRIALS) -> float:
    """How often two methods on common test sets are told apart."""
    generator = np.random.default_rng(3)
    found = 0
    for _ in range(trials):
        difficulty = generator.standard_normal(IMAGES)
        one = seeds_of(generator, seeds, 60.0 + better_by, deviation, difficulty)
        two = seeds_of(generator, seeds, 60.0, deviation, difficulty)
        if seeds == 1:
            p_value, _ = paired_p_value(one[0], two[0])
        else:
            p_value = crossed([a.minus(b) for a, b in zip(one, two, strict=True)]).p_value
        found += p_value <= 0.05
    return found / trials


@pytest.mark.parametrize("deviation", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("seeds", [3, 5])
def test_equal_methods_differ_in_five_of_a_hundred_tests(seeds: int, deviation: float) -> None:
    assert 0.03 <= rejected(seeds, deviation, better_by=0.0) <= 0.07


def test_mcnemar_finds_no_difference_more_often_than_it_says() -> None:
    assert rejected(1, 0.0, better_by=0.0) <= 0.05 + 1.645 * (0.05 * 0.95 / TRIALS) ** 0.5


def test_mcnemar_of_single_runs_takes_luck_with_the_seed_for_a_difference() -> None:
    # Why one seed never speaks of the methods: both have 60 %, the runs differ by some 4 points.
    assert rejected(1, 3.0, better_by=0.0, trials=300) > 0.3


def test_what_is_there_is_found() -> None:
    assert rejected(1, 0.0, better_by=5.0, trials=200) > 0.8
    assert rejected(3, 0.5, better_by=5.0, trials=200) > 0.8
    assert rejected(5, 1.0, better_by=5.0, trials=200) > 0.8
