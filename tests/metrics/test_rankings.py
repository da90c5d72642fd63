"""Rankings of images by class: the table, its mAP, and its resamples."""

import numpy as np
import pyarrow as pa
import pytest

from sslbench.errors import DataError
from sslbench.metrics.multilabel import mean_class_average_precision
from sslbench.metrics.rankings import (
    mean_average_precisions,
    ranking_table,
    rankings_of,
    resampled_mean_average_precisions,
)


@pytest.fixture
def drawn():
    draws = np.random.default_rng(2)
    labels = draws.choice([-1, 0, 1], p=[0.1, 0.5, 0.4], size=(50, 3))
    scores = {name: draws.normal(labels, 1.0).astype(np.float32) for name in ("a", "b")}
    return labels, scores


def test_the_table_keeps_labels_and_scores_by_item(drawn):
    labels, scores = drawn
    table = ranking_table(labels, scores)
    assert table.column_names == ["item", "label", "a", "b"]
    assert table["item"].to_pylist() == list(range(50))
    assert np.array_equal(np.array(table["label"].to_pylist()), labels)
    assert np.array_equal(np.array(table["b"].to_pylist()), scores["b"])
    assert rankings_of(table) == ["a", "b"]


def test_each_ranking_has_its_map_whatever_the_order_of_the_rows(drawn):
    labels, scores = drawn
    table = ranking_table(labels, scores)
    found = mean_average_precisions(table)
    assert found == {name: mean_class_average_precision(labels, of) for name, of in scores.items()}
    order = pa.array(np.random.default_rng(0).permutation(50))
    assert mean_average_precisions(table.take(order)) == pytest.approx(found)


def test_resamples_are_those_of_the_items_by_number(drawn):
    table = ranking_table(*drawn)
    times = np.random.default_rng(1).integers(0, 3, 50)
    wanted = mean_average_precisions(table.take(pa.array(np.repeat(np.arange(50), times))))
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(50)))
    for rows in (table, shuffled):
        assert resampled_mean_average_precisions(rows)(times) == pytest.approx(wanted)


def test_a_class_that_no_row_shows_has_no_part_in_the_mean():
    labels = np.array([[1, 0, 0], [0, 1, 0], [1, 0, -1]])
    scores = {"a": np.array([[2, 0, 9], [1, 1, 8], [0, 2, 7]], dtype=np.float32)}
    table = ranking_table(labels, scores)
    wanted = mean_class_average_precision(labels[:, :2], scores["a"][:, :2])
    assert mean_average_precisions(table) == {"a": wanted}
    resampled = resampled_mean_average_precisions(table)
    assert resampled(np.ones(3, dtype=np.int64)) == pytest.approx({"a": wanted})
    nothing = resampled(np.zeros(3, dtype=np.int64))
    assert np.isnan(nothing["a"])
    assert np.isnan(mean_average_precisions(ranking_table(0 * labels, scores))["a"])


def test_scores_that_are_not_finite_are_refused(drawn):
    labels, scores = drawn
    scores["a"][3, 1] = np.nan
    with pytest.raises(DataError, match="image 3 for class 1"):
        mean_average_precisions(ranking_table(labels, scores))
