"""What intervals and tests are made of, on disk beside each record."""

from pathlib import Path

import numpy as np
import pytest

from sslbench.errors import StoreError
from sslbench.spreads import ENDING, SpreadReader, write_spreads
from sslbench.stats.spread import Spread
from sslbench.store import Store


def entry(digest: str, metric: str = "top1", value: float = 25.0) -> dict[str, object]:
    return {
        "run": "r",
        "record": "knn",
        "metric": metric,
        "value": value,
        "spread_sha256": digest,
    }


def place(store: Store) -> Path:
    return store.evaluation_file("r", "knn", ENDING)


@pytest.mark.parametrize("kind", ["items", "resamples"])
def test_a_spread_comes_back_as_it_was(tmp_path, kind):
    store = Store(tmp_path)
    values = np.array([0.0, 100.0, 0.0, 0.0])
    digest = write_spreads(
        place(store), {"top1": Spread(25.0, values, kind), "top5": Spread(50.0, values * 2, kind)}
    )

    found = SpreadReader(store).spread(entry(digest))

    assert (found.kind, found.estimate) == (kind, 25.0)
    np.testing.assert_array_equal(found.values, values)


def test_the_same_spreads_are_the_same_bytes(tmp_path):
    spreads = {"top1": Spread(25.0, np.array([0.0, 100.0, 0.0, 0.0]), "items")}
    assert write_spreads(tmp_path / "a", spreads) == write_spreads(tmp_path / "b", spreads)


def test_a_record_of_before_says_how_to_make_it_new(tmp_path):
    with pytest.raises(StoreError, match=r"knn\.json: made by an older sslbench.*sslbench run"):
        SpreadReader(Store(tmp_path)).spread(entry(""))


def test_a_file_that_is_cut_short_is_named(tmp_path):
    store = Store(tmp_path)
    digest = write_spreads(place(store), {"top1": Spread(0.0, np.zeros(9), "items")})
    place(store).write_bytes(place(store).read_bytes()[:-5])

    with pytest.raises(StoreError, match=r"knn\.spread\.parquet: is not the file.*Remove it"):
        SpreadReader(store).spread(entry(digest))


def test_a_score_without_a_spread_has_none_and_a_single_item_has_none_at_all(tmp_path):
    store = Store(tmp_path)
    digest = write_spreads(place(store), {"top1": Spread(0.0, np.zeros(9), "items")})
    assert SpreadReader(store).spread(entry(digest, "ap50")) is None

    assert SpreadReader(store).spread(entry(write_spreads(place(store), {}))) is None
