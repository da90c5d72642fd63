"""Spreads: variances and covariances over test images, against numpy's covariance matrix."""

import numpy as np
import pytest

from sslbench.stats.spread import Spread, shared_covariance


def items(*values: float) -> Spread:
    return Spread(float(np.mean(values)), np.array(values), "items")


def resamples(*values: float) -> Spread:
    return Spread(float(np.mean(values)), np.array(values), "resamples")


def test_the_variance_of_a_mean_falls_with_the_items_and_that_of_resamples_does_not() -> None:
    assert items(1.0, 2.0, 3.0, 6.0).variance() == pytest.approx(14 / 3 / 4)
    assert resamples(1.0, 2.0, 3.0, 6.0).variance() == pytest.approx(14 / 3)


def test_items_are_binary_if_all_that_is_not_nothing_is_the_same() -> None:
    assert items(0, 100, 100).binary
    assert items(100, 100).binary
    assert items(0, 0).binary
    assert not items(0, 50, 100).binary
    assert not items(50, 100).binary
    assert not resamples(0, 100, 100).binary


def test_a_difference_is_taken_item_by_item() -> None:
    difference = items(100, 0, 100).minus(items(0, 0, 100))

    assert difference.values.tolist() == [100, 0, 0]
    assert difference.estimate == pytest.approx(100 / 3)
    assert difference.kind == "items"


def test_a_difference_of_what_moves_together_hardly_moves() -> None:
    shared = np.random.default_rng(0).normal(size=500)
    one, two = Spread(1.0, shared + 1, "resamples"), Spread(0.0, shared, "resamples")

    assert one.minus(two).variance() == pytest.approx(0, abs=1e-12)
    assert one.variance() > 0.8


def test_what_does_not_lie_over_the_same_items_has_no_difference() -> None:
    with pytest.raises(ValueError, match="2 items and 3 items"):
        items(1, 2).minus(items(1, 2, 3))
    with pytest.raises(ValueError, match="2 items and 2 resamples"):
        items(1, 2).minus(resamples(1, 2))
    with pytest.raises(ValueError, match="same test items"):
        shared_covariance([items(1, 2), items(1, 2), items(1, 2, 3)])


@pytest.mark.parametrize("kind", ["items", "resamples"])
@pytest.mark.parametrize("seeds", [2, 4])
def test_the_shared_covariance_is_the_mean_beside_the_diagonal(kind: str, seeds: int) -> None:
    values = np.random.default_rng(0).normal(size=(seeds, 50)) + np.linspace(0, 3, 50)
    spreads = [Spread(float(v.mean()), v, kind) for v in values]  # type: ignore[arg-type]

    matrix = np.cov(values)
    expected = matrix[~np.eye(seeds, dtype=bool)].mean()
    assert shared_covariance(spreads) == pytest.approx(expected / (50 if kind == "items" else 1))


def test_one_seed_shares_nothing() -> None:
    with pytest.raises(ValueError, match="1 seeds"):
        shared_covariance([items(1, 2)])


def test_resamples_without_a_value_do_not_count() -> None:
    nan = float("nan")
    one = Spread(2.0, np.array([1.0, 2.0, nan, 4.0]), "resamples")
    two = Spread(2.0, np.array([1.0, 2.0, 9.0, nan]), "resamples")

    assert one.variance() == pytest.approx(np.var([1, 2, 4], ddof=1))
    assert shared_covariance([one, two]) == pytest.approx(np.cov([1, 2], [1, 2])[0, 1])


def test_of_one_number_nothing_can_be_said() -> None:
    with pytest.raises(ValueError, match="expected 2"):
        items(1.0)
    with pytest.raises(ValueError, match="expected 2"):
        Spread(1.0, np.array([1.0, float("nan")]), "resamples")
