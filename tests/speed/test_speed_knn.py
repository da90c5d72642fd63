"""The case of kNN: its sides answer alike."""

import pytest
import torch

from sslbench.speed import knn
from sslbench.speed.cases import Setup
from sslbench.speed.knn import NearestNeighbours

SMALL = NearestNeighbours(bank=2000, queries=60, dim=16, neighbours=20, rounds=2)


def test_both_sides_predict_the_same_classes():
    pytest.importorskip("lightly", reason="pip install lightly")
    outcome, theirs = (side.work() for side in SMALL.sides(Setup(against=("lightly",))))
    ours = torch.tensor(outcome.table["ranked"].to_pylist())
    voted = ours >= 0  # a class without a vote takes no rank
    assert ours.shape == (60, 5)
    assert voted[:, 0].all()
    assert torch.equal(ours[voted], theirs[:, :5][voted])


def test_what_is_measured_is_positive(monkeypatch):
    monkeypatch.setattr(knn, "peak_gib", lambda case, side, setup: 0.1)
    found = SMALL.measure(Setup())
    assert list(found.figures) == ["sslbench"]
    assert found.figures["sslbench"].low > 0
    assert found.ratios == {}
    assert found.memory_gib == {"sslbench": 0.1}
