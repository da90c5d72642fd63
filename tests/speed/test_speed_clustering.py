"""The case of clusters at ImageNet's size: both sides find the same first level."""

import pytest
import torch

from sslbench.speed import clustering
from sslbench.speed.cases import Setup, case
from sslbench.speed.clustering import HIERARCHY, Hierarchy

SMALL = Hierarchy(images=2000, dim=16, sizes=(30, 12, 5), iterations=5)


def test_the_first_level_is_that_of_faiss():
    ours, plain = (side.work() for side in SMALL.sides(Setup()))
    assert [len(level.prototypes) for level in ours] == [30, 12, 5]
    centroids, nearest = plain
    assert torch.equal(ours[0].assignment, torch.from_numpy(nearest))
    unit = torch.nn.functional.normalize(torch.from_numpy(centroids))
    torch.testing.assert_close(ours[0].prototypes, unit, atol=1e-5, rtol=0)


def test_features_are_unit_rows_of_several_kinds():
    features = SMALL.features()
    assert features.shape == (2000, 16)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(2000))
    assert torch.equal(features, SMALL.features())


def test_what_is_measured_is_positive_and_says_its_size(monkeypatch):
    monkeypatch.setattr(clustering, "peak_gib", lambda name, side, setup: 0.5)
    found = SMALL.measure(Setup())
    assert list(found.figures) == ["sslbench", "faiss, first level"]
    assert found.rounds == 3
    assert all(one.low > 0 for one in found.figures.values())
    assert found.memory_gib == {"sslbench": 0.5}
    assert "2,000 x 16 into 30-12-5" in found.title


def test_the_ratio_is_the_median_of_the_rounds_own_ratios(monkeypatch):
    monkeypatch.setattr(clustering, "peak_gib", lambda name, side, setup: 0.5)
    rounds = {"sslbench": [2.0, 4.0, 10.0], "faiss, first level": [1.0, 6.0, 8.0]}
    monkeypatch.setattr(clustering, "in_turn", lambda sides, count, report: rounds)
    found = SMALL.measure(Setup())
    assert found.figures["sslbench"].median == 4.0
    ratio = found.ratios["against_faiss_first_level"]  # 0.5, 1.5 and 0.8; 6 / 4 is of medians
    assert (ratio.low, ratio.median, ratio.high) == pytest.approx((0.5, 0.8, 1.5))


def test_by_name_it_is_of_imagenets_size():
    assert case("clusters_imagenet") is HIERARCHY
    assert HIERARCHY.images == 1_281_167
    assert HIERARCHY.sizes == (3000, 2000, 1000)
