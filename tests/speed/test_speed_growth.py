"""The case of growth: what is measured for each number of images, and the slope of it."""

import pytest
import torch

from sslbench.speed import growth
from sslbench.speed.cases import Setup, case
from sslbench.speed.growth import GROWTH, Growth, exponent

SMALL = Growth(
    images=(200, 400),
    test_images=20,
    clusters=(10, 5),
    queue=64,
    batch_size=32,
    neighbours=7,
    rounds=1,
)


def test_steps_are_in_proportion_and_clusters_and_queue_stay():
    one, other = (SMALL.row(count) for count in (200, 400))
    assert (one.data.steps, other.data.steps) == (6, 12)
    for row in (one, other):
        assert tuple(row.config.params["clusters"]) == (10, 5)
        assert row.config.params["queue_size"] == 64


def test_neighbours_of_all_test_images_are_found_in_the_training_set():
    found = [side.work() for side in SMALL.sides(Setup())]
    for count, position in zip((200, 400), found, strict=True):
        assert position.shape == (20, 7)
        assert position.min() >= 0
        assert position.max() < count
    assert not torch.equal(*found)


def test_what_is_measured_has_an_exponent_and_a_peak_for_each_size(monkeypatch):
    monkeypatch.setattr(growth, "peak_gib", lambda name, side, setup: 0.1)
    found = SMALL.measure(Setup())
    assert list(found.figures) == ["200 images", "400 images"] == list(found.memory_gib)
    small, large = (one.median for one in found.figures.values())
    assert found.ratios["exponent"].median == pytest.approx(exponent((200, 400), (small, large)))


def test_the_exponent_is_the_power():
    sizes = [5, 20, 80]
    assert exponent(sizes, [3 * n for n in sizes]) == pytest.approx(1)
    assert exponent(sizes, [0.1 * n**1.5 for n in sizes]) == pytest.approx(1.5)


def test_by_name_it_is_of_up_to_80_000_images():
    assert case("growth") is GROWTH
    assert GROWTH.images == (5_000, 20_000, 80_000)
