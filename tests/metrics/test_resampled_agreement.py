"""Agreement of resamples out of counts, against the library on the resampled items themselves."""

import numpy as np
import pytest

from sslbench.metrics.clustering import (
    adjusted_mutual_information,
    adjusted_rand_index,
    matched_accuracy,
    normalized_mutual_information,
)
from sslbench.metrics.resampled_agreement import Contingency


def draw(seed, items=400, classes=7, clusters=11):
    """Clusters that follow the classes half of the time, of very different sizes."""
    draws = np.random.default_rng(seed)
    labels = (classes * draws.random(items) ** 2).astype(np.int64)
    guessed = np.where(draws.random(items) < 0.5, labels, draws.integers(clusters, size=items))
    return labels, guessed


def of_counts(classes, clusters, times):
    counted = Contingency(classes, clusters).counted(times)
    nmi, ami = counted.information_indices()
    return [nmi, ami, counted.rand_index(), counted.matched_accuracy()]


def of_items(classes, clusters, times):
    one, other = np.repeat(classes, times), np.repeat(clusters, times)
    return [
        normalized_mutual_information(one, other),
        adjusted_mutual_information(one, other),
        adjusted_rand_index(one, other),
        matched_accuracy(one, other),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_every_index_of_a_resample_is_that_of_its_items(seed):
    classes, clusters = draw(seed)
    draws = np.random.default_rng(seed)
    halves = np.zeros(400, np.int64)
    halves[draws.permutation(400)[:200]] = 1
    few = np.zeros(400, np.int64)
    few[:9] = 1  # most classes and clusters do not occur
    for times in (np.ones(400, np.int64), halves, draws.multinomial(400, np.ones(400) / 400), few):
        wanted = of_items(classes, clusters, times)
        assert of_counts(classes, clusters, times) == pytest.approx(wanted, abs=1e-10)


def test_many_classes_by_many_clusters_agree_too():
    classes, clusters = draw(0, items=20_000, classes=300, clusters=500)
    times = np.random.default_rng(1).integers(0, 2, 20_000)
    wanted = of_items(classes, clusters, times)
    assert of_counts(classes, clusters, times) == pytest.approx(wanted, abs=1e-8)


def test_the_expectation_in_parts_is_the_same(monkeypatch):
    classes, clusters = draw(0)
    times = np.ones(400, np.int64)
    whole = of_counts(classes, clusters, times)
    monkeypatch.setattr("sslbench.metrics.resampled_agreement._TERMS", 100)
    assert of_counts(classes, clusters, times) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize(
    ("classes", "clusters"),
    [
        ([0, 0, 1, 1], [5, 5, 3, 3]),  # the same partition
        ([0, 0, 1, 1], [0, 0, 0, 0]),  # one cluster of two classes
        ([2, 2, 2, 2], [0, 0, 0, 0]),  # one cluster of one class
        ([2, 2, 2, 2], [0, 1, 0, 1]),
        ([0, 1, 2, 3], [3, 2, 1, 0]),  # every item alone, twice
        ([0, 1, 0, 1], [0, 0, 1, 1]),  # independent
    ],
)
def test_extremes_are_those_of_the_library(classes, clusters):
    arrays = np.array(classes), np.array(clusters), np.ones(4, np.int64)
    assert of_counts(*arrays) == pytest.approx(of_items(*arrays), abs=1e-12)


def test_a_resample_of_one_item_agrees_as_the_library_has_it():
    arrays = np.array([3, 5]), np.array([1, 2]), np.array([0, 1])
    assert of_counts(*arrays) == pytest.approx(of_items(*arrays), abs=1e-12)


def test_random_clusters_are_expected_to_share_what_ami_subtracts():
    classes, clusters = draw(3, items=3000, classes=20, clusters=40)
    shuffled = np.random.default_rng(0).permutation(clusters)
    _, ami, ari, _ = of_counts(classes, shuffled, np.ones(3000, np.int64))
    assert abs(ami) < 0.01
    assert abs(ari) < 0.01
