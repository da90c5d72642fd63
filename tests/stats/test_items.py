"""Resampling tables over items."""

import numpy as np
import pyarrow as pa
import pytest

from sslbench.stats.items import ItemRows, score_intervals


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many resamples of means as of other scores."""
    monkeypatch.setattr("sslbench.stats.items.RESAMPLES", 200)


def mean(table: pa.Table) -> dict[str, float]:
    return {"mean": float(np.mean(table["x"].to_numpy()))}


def test_all_rows_of_a_drawn_item_come_and_twice_drawn_is_two_items() -> None:
    table = pa.table({"item": pa.array([7, 3, 7, 9], pa.int32()), "x": [1, 2, 3, 4]})
    rows = ItemRows(table)
    assert rows.items == 3
    drawn = rows.resampled(np.array([1, 1, 2]))  # items in order: 3, 7, 9
    assert drawn.to_pydict() == {"item": [0, 0, 1, 1, 2], "x": [1, 3, 1, 3, 4]}
    assert drawn.schema == table.schema


@pytest.mark.usefixtures("few")
def test_means_over_items_give_the_intervals_of_the_score() -> None:
    values = np.random.default_rng(0).random(60)
    rows = ItemRows(pa.table({"item": np.arange(60), "x": values}))

    slow = score_intervals(rows, mean, None, None, halves=False)
    fast = score_intervals(rows, mean, {"mean": values}, None, halves=False)

    # The same resamples, so the same width; only the slow form is centred on the estimate.
    width = np.ptp(slow.intervals["mean"])
    assert np.ptp(fast.intervals["mean"]) == pytest.approx(width)
    assert fast.intervals["mean"] == pytest.approx(slow.intervals["mean"], abs=0.01)
    assert fast.how == "200 bootstrap resamples of 60 test items"
    assert slow.how == "200 bootstrap resamples of 60 test items, centred"


@pytest.mark.usefixtures("few")
def test_spreads_are_the_items_of_means_and_the_resamples_of_other_scores() -> None:
    values = np.random.default_rng(0).random(60)
    rows = ItemRows(pa.table({"item": np.arange(60), "x": values}))

    of_items = score_intervals(rows, mean, {"mean": values}, None, halves=False).spreads["mean"]
    measured = score_intervals(rows, mean, None, None, halves=False)
    resampled = measured.spreads["mean"]

    assert of_items.kind == "items"
    assert np.array_equal(of_items.values, values)
    assert resampled.kind == "resamples"
    assert len(resampled.values) == 200
    assert of_items.estimate == resampled.estimate == pytest.approx(values.mean())
    assert resampled.variance() == pytest.approx(of_items.variance(), rel=0.25)
    # What is kept is what the interval was made of.
    low, high = np.quantile(resampled.values, [0.025, 0.975])
    assert np.ptp(measured.intervals["mean"]) == pytest.approx(high - low)


def test_halves_are_scored_without_repetitions() -> None:
    rows = ItemRows(pa.table({"item": np.repeat(np.arange(20), 2), "x": np.arange(40.0)}))
    seen: list[pa.Table] = []

    def score(table: pa.Table) -> dict[str, float]:
        seen.append(table)
        return mean(table)

    measured = score_intervals(rows, score, None, None, halves=True)

    assert measured.how == "200 half-samples of 20 test items, centred"
    assert len(seen) == 201  # the whole table, then the halves
    assert all(table.num_rows == 20 == len(set(table["x"].to_pylist())) for table in seen[1:])
    low, high = measured.intervals["mean"]
    assert low < measured.spreads["mean"].estimate == 19.5 < high


def test_scores_that_are_no_means_are_centred_on_their_estimate() -> None:
    rows = ItemRows(pa.table({"item": np.arange(50), "x": np.arange(50.0)}))

    def distinct(table: pa.Table) -> dict[str, float]:
        return {"distinct": float(len(set(table["x"].to_pylist())))}

    low, high = score_intervals(rows, distinct, None, None, halves=False).intervals["distinct"]

    assert low < 50 < high  # of the resamples none has 50 distinct items


def test_means_over_items_need_no_halves() -> None:
    values = np.random.default_rng(0).random(60)
    rows = ItemRows(pa.table({"item": np.arange(60), "x": values}))

    whole, halves = (
        score_intervals(rows, mean, {"mean": values}, None, halves=given) for given in (False, True)
    )

    assert whole.intervals == halves.intervals
    assert whole.how == halves.how


def test_two_tables_of_one_size_compare_resample_by_resample() -> None:
    generator = np.random.default_rng(0)
    hard = generator.normal(size=80)
    spreads = [
        score_intervals(
            ItemRows(pa.table({"item": np.arange(80), "x": hard + shift})),
            mean,
            None,
            None,
            halves=False,
        ).spreads["mean"]
        for shift in (0.0, 0.5)
    ]

    difference = spreads[1].minus(spreads[0])

    assert difference.estimate == pytest.approx(0.5)
    assert difference.variance() == pytest.approx(0, abs=1e-20)


def test_one_item_has_neither_interval_nor_spread() -> None:
    rows = ItemRows(pa.table({"item": [0, 0], "x": [1.0, 2.0]}))

    measured = score_intervals(rows, mean, None, None, halves=False)

    assert (measured.intervals, measured.spreads) == ({}, {})
    assert measured.how == "one test item"


@pytest.mark.parametrize("halves", [False, True])
def test_a_resampler_gives_what_scoring_resampled_tables_gives(halves: bool) -> None:
    rows = ItemRows(pa.table({"item": [0, 0, 1, 2, 2, 2], "value": [1.0, 2, 5, 3, 9, 4]}))

    def total(taken: pa.Table) -> dict[str, float]:
        return {"total": float(np.sum(taken["value"].to_numpy()))}

    sums = np.array([3.0, 5.0, 16.0])

    def quick(times: np.ndarray) -> dict[str, float]:
        return {"total": float(times @ sums)}

    slow = score_intervals(rows, total, None, None, halves=halves)
    fast = score_intervals(rows, total, None, quick, halves=halves)
    assert fast.intervals == slow.intervals
    assert np.array_equal(fast.spreads["total"].values, slow.spreads["total"].values)
