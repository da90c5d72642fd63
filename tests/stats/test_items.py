"""Resampling tables over items."""

import numpy as np
import pyarrow as pa
import pytest

from sslbench.stats.items import ItemRows, score_intervals


def test_all_rows_of_a_drawn_item_come_and_twice_drawn_is_two_items():
    table = pa.table({"item": pa.array([7, 3, 7, 9], pa.int32()), "x": [1, 2, 3, 4]})
    rows = ItemRows(table)
    assert rows.items == 3
    drawn = rows.resampled(np.array([1, 1, 2]))  # items in order: 3, 7, 9
    assert drawn.to_pydict() == {"item": [0, 0, 1, 1, 2], "x": [1, 3, 1, 3, 4]}
    assert drawn.schema == table.schema


def test_means_over_items_give_the_intervals_of_the_score(monkeypatch):
    values = np.random.default_rng(0).random(60)
    table = pa.table({"item": np.arange(60), "x": values})
    monkeypatch.setattr("sslbench.stats.items.RESAMPLES", 200)

    def score(table):
        return {"mean": float(np.mean(table["x"].to_numpy()))}

    slow, _ = score_intervals(ItemRows(table), score, None, None, seed=3)
    fast, how = score_intervals(ItemRows(table), score, {"mean": values}, None, seed=3)
    # The same resamples, so the same width; only the slow form is centred on the estimate.
    assert fast["mean"][1] - fast["mean"][0] == pytest.approx(slow["mean"][1] - slow["mean"][0])
    assert fast["mean"] == pytest.approx(slow["mean"], abs=0.01)
    assert how == "200 bootstrap resamples of 60 test items"


def test_one_item_has_no_interval():
    table = pa.table({"item": [0, 0], "x": [1.0, 2.0]})
    assert score_intervals(ItemRows(table), lambda t: {}, None, None, 0)[0] == {}


def test_a_resampler_gives_what_scoring_resampled_tables_gives() -> None:
    table = pa.table({"item": [0, 0, 1, 2, 2, 2], "value": [1.0, 2.0, 5.0, 3.0, 9.0, 4.0]})
    rows = ItemRows(table)

    def largest(taken: pa.Table) -> dict[str, float]:
        return {"largest": float(np.sum(taken["value"].to_numpy()))}

    sums = np.array([3.0, 5.0, 16.0])

    def quick(times: np.ndarray) -> dict[str, float]:
        return {"largest": float(times @ sums)}

    slow, _ = score_intervals(rows, largest, None, None, seed=1)
    fast, _ = score_intervals(rows, largest, None, quick, seed=1)
    assert fast == slow
