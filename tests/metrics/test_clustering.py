"""Agreement of clusters with classes, against loops from the definitions."""

from itertools import combinations, permutations
from math import comb, log

import numpy as np
import pytest

from sslbench.errors import DataError
from sslbench.metrics.clustering import (
    adjusted_mutual_information,
    adjusted_rand_index,
    matched_accuracy,
    normalized_mutual_information,
)

INDICES = (normalized_mutual_information, adjusted_mutual_information, adjusted_rand_index)


def draw(seed, items=30, classes=3, clusters=5):
    """Clusters that follow the classes half of the time."""
    draws = np.random.default_rng(seed)
    labels = draws.integers(classes, size=items)
    guessed = np.where(draws.random(items) < 0.5, labels, draws.integers(clusters, size=items))
    return labels, guessed


def entropy(labels):
    shares = [list(labels).count(v) / len(labels) for v in set(labels.tolist())]
    return -sum(p * log(p) for p in shares)


def mutual_information(a, b):
    return entropy(a) + entropy(b) - entropy(a * 1000 + b)


def expected_mutual_information(a, b):
    """Over all ways to deal the items of given sizes: hypergeometric (Vinh et al., equation 24)."""
    n, total = len(a), 0.0
    for x in np.unique(a, return_counts=True)[1].tolist():
        for y in np.unique(b, return_counts=True)[1].tolist():
            for k in range(max(1, x + y - n), min(x, y) + 1):
                chance = comb(x, k) * comb(n - x, y - k) / comb(n, y)
                total += chance * k / n * log(n * k / (x * y))
    return total


def test_nmi_and_ami_are_those_of_the_definitions():
    for seed in range(5):
        a, b = draw(seed)
        mean, mutual = (entropy(a) + entropy(b)) / 2, mutual_information(a, b)
        expected = expected_mutual_information(a, b)
        assert normalized_mutual_information(a, b) == pytest.approx(mutual / mean, abs=1e-12)
        assert adjusted_mutual_information(a, b) == pytest.approx(
            (mutual - expected) / (mean - expected), abs=1e-12
        )


def test_the_rand_index_is_counted_over_pairs():
    for seed in range(5):
        a, b = draw(seed)
        pairs = [(a[i] == a[j], b[i] == b[j]) for i, j in combinations(range(len(a)), 2)]
        both = sum(x and y for x, y in pairs)
        one, other = sum(x for x, _ in pairs), sum(y for _, y in pairs)
        expected = one * other / len(pairs)
        wanted = (both - expected) / ((one + other) / 2 - expected)
        assert adjusted_rand_index(a, b) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(("classes", "clusters"), [(3, 3), (3, 5), (5, 3)])
def test_accuracy_is_that_of_the_best_assignment_tried_one_by_one(classes, clusters):
    larger = max(classes, clusters)
    for seed in range(5):
        a, b = draw(seed, classes=classes, clusters=clusters)
        every = (100 * np.mean(a == np.array(order)[b]) for order in permutations(range(larger)))
        assert matched_accuracy(a, b) == pytest.approx(max(every), abs=1e-12)


def test_names_and_order_of_items_do_not_matter():
    a, b = draw(0)
    order = np.random.default_rng(1).permutation(len(a))
    for metric in (*INDICES, matched_accuracy):
        assert metric(a[order], 700 - 7 * b[order]) == pytest.approx(metric(a, b), abs=1e-12)


def test_one_cluster_says_nothing_and_is_right_for_the_largest_class():
    classes, one = np.array([0, 0, 0, 1, 2]), np.zeros(5, dtype=np.int64)
    assert [metric(classes, one) for metric in INDICES] == pytest.approx([0, 0, 0], abs=1e-12)
    assert matched_accuracy(classes, one) == pytest.approx(60)


def test_more_clusters_than_classes_cost_accuracy_though_each_is_pure():
    classes = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    clusters = np.array([0, 0, 0, 1, 2, 2, 3, 3])
    assert matched_accuracy(classes, clusters) == pytest.approx(100 * (3 + 2) / 8)
    assert 0 < adjusted_mutual_information(classes, clusters) < 1


def test_the_same_partition_scores_full_and_random_clusters_only_raise_nmi():
    a, _ = draw(0, items=300)
    assert [metric(a, 2 - a) for metric in INDICES] == pytest.approx([1, 1, 1])
    assert matched_accuracy(a, 2 - a) == 100
    drawn = np.random.default_rng(2).integers(60, size=300)
    assert normalized_mutual_information(a, drawn) > 0.08
    assert abs(adjusted_mutual_information(a, drawn)) < 0.05
    assert abs(adjusted_rand_index(a, drawn)) < 0.05


@pytest.mark.parametrize("metric", [*INDICES, matched_accuracy])
@pytest.mark.parametrize(
    ("classes", "clusters", "message"),
    [
        ([0, 1], [0], "given 2 classes and 1 clusters"),
        (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), "given 0 classes"),
        ([0.0, 1.0], [0, 1], "classes: a whole number per item expected, given float64"),
        ([0, 1], [[0], [1]], r"clusters: .* of shape \(2, 1\)"),
    ],
)
def test_labels_that_do_not_fit_are_refused(metric, classes, clusters, message):
    with pytest.raises(DataError, match=message):
        metric(np.array(classes), np.array(clusters))
