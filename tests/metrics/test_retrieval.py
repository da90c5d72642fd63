"""Average precision of rankings: a loop, scikit-learn's own, its cut; the scores of a table."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score

from sslbench.metrics.retrieval import (
    average_precision,
    hits,
    kept_neighbours,
    metric_names,
    retrieval_table,
    retrieval_values,
)


def looped(relevant, total, depth=None):
    """By definition: the mean of precisions at the ranks of relevant images."""
    depth = depth or len(relevant)
    precisions = [sum(relevant[: r + 1]) / (r + 1) for r in range(depth) if relevant[r]]
    return sum(precisions) / min(total, depth)


@pytest.fixture
def relevant():
    draws = np.random.default_rng(0)
    found = draws.random((60, 37)) < draws.random((60, 1))
    found[:, -1] |= ~found.any(axis=1)  # at least one
    found[0], found[1] = True, False
    found[1, 20] = True
    return found


@pytest.mark.parametrize("depth", [None, 1, 5, 37])
def test_it_is_the_mean_precision_at_the_ranks_of_relevant_images(relevant, depth):
    total = relevant.sum(axis=1)
    found = average_precision(relevant, total, depth)
    expected = [looped(row.tolist(), int(t), depth) for row, t in zip(relevant, total, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=0)
    assert found[0] == 1.0


def test_of_the_whole_ranking_it_is_scikit_learn_s(relevant):
    scores = np.random.default_rng(1).random(relevant.shape)  # no two are equal
    order = np.argsort(-scores, axis=1)
    ranked = np.take_along_axis(relevant, order, axis=1)
    expected = [average_precision_score(y, s) for y, s in zip(relevant, scores, strict=True)]
    np.testing.assert_allclose(
        average_precision(ranked, relevant.sum(axis=1)), expected, rtol=1e-12
    )


def test_a_cut_divides_by_what_it_could_hold_and_no_more():
    relevant = np.array([[True, True, False, False], [False, True, False, False]])
    # Of 2 and of 50 relevant images, with room for 3.
    assert average_precision(relevant[:1], np.array([2]), 3).tolist() == [1.0]
    assert average_precision(relevant[:1], np.array([50]), 3).tolist() == [pytest.approx(2 / 3)]
    assert average_precision(relevant[1:], np.array([1]), 1).tolist() == [0.0]


def test_hits_are_counted_up_to_each_rank():
    relevant = np.array([[False, True, True, False], [False] * 4, [True, False, False, True]])
    assert hits(relevant, [1, 2, 4]).tolist() == [[0, 1, 2], [0, 0, 0], [1, 1, 2]]


@pytest.fixture
def table():
    return retrieval_table(
        np.array([4, 0, 2]),
        np.array([1, 0, 1]),
        np.array([0.5, 1.0, 0.25]),
        np.array([[0, 2], [1, 3], [0, 0]]),
        np.array([[7, 8], [1, 2], [3, 4]]),
        np.array([[0, 1], [0, 0], [0, 0]]),
        ranks=[1, 5],
        depth=None,
    )


def test_scores_are_means_over_queries_by_item(table):
    values = retrieval_values(table)
    assert {name: value.tolist() for name, value in values.items()} == {
        "map": [100.0, 25.0, 50.0],
        "recall_at_1": [100.0, 0.0, 0.0],
        "recall_at_5": [100.0, 0.0, 100.0],
        "precision_at_5": [60.0, 0.0, 40.0],
    }
    moved = table.take(pa.array([2, 0, 1]))
    assert all((retrieval_values(moved)[name] == values[name]).all() for name in values)


def test_names_are_those_of_the_values_and_a_cut_is_in_the_name(table):
    assert metric_names([1, 5], None) == ["recall_at_1", "map", "recall_at_5", "precision_at_5"]
    assert set(metric_names([1, 5], None)) == set(retrieval_values(table))
    cut = retrieval_table(*[np.array([3])] * 3, *[np.array([[1]])] * 3, ranks=[2], depth=100)
    assert metric_names([2], 100) == ["recall_at_2", "map_at_100", "precision_at_2"]
    assert set(retrieval_values(cut)) == set(metric_names([2], 100))


def test_kept_neighbours_come_back_as_they_were(table):
    items, labels, neighbours, theirs = kept_neighbours(table)
    assert (items.tolist(), labels.tolist()) == ([4, 0, 2], [1, 0, 1])
    assert neighbours.tolist() == [[7, 8], [1, 2], [3, 4]]
    assert theirs.tolist() == [[0, 1], [0, 0], [0, 0]]
    assert kept_neighbours(table.slice(1))[2].tolist() == [[1, 2], [3, 4]]
    assert kept_neighbours(pa.concat_tables([table] * 2))[3].tolist() == theirs.tolist() * 2
