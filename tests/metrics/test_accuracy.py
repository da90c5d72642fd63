"""Ranked predictions in a table, and how often they are right."""

import numpy as np
import pyarrow as pa
import pytest

from sslbench.metrics.accuracy import hits, prediction_table


@pytest.fixture
def table():
    ranked = np.array([[2, 0, 1], [0, -1, -1], [1, 2, 0]])
    return prediction_table(np.array([1, 0, 2]), {"ranked": ranked})


def test_hits_are_counted_among_the_first_ranks(table):
    assert [hits(table, "ranked", ranks).tolist() for ranks in (1, 2, 3, 5)] == [
        [False, True, False],
        [False, True, True],
        [True, True, True],
        [True, True, True],
    ]


def test_an_empty_rank_is_no_hit():
    table = prediction_table(np.array([0]), {"ranked": np.array([[-1, -1]])})
    assert not hits(table, "ranked", 2).any()


def test_hits_stand_in_the_order_of_the_items_however_rows_are_taken_sliced_or_joined(table):
    taken = table.take(pa.array([2, 2, 0]))
    assert hits(taken, "ranked", 2).tolist() == [False, True, True]
    assert hits(table.slice(1), "ranked", 2).tolist() == [True, True]
    assert hits(pa.concat_tables([table, taken]), "ranked", 1).tolist() == [
        False,
        False,
        True,
        False,
        False,
        False,
    ]
