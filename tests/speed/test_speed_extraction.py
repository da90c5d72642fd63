"""The case of features: both sides extract the same ones."""

import torch

from sslbench.speed.cases import Setup
from sslbench.speed.extraction import Extraction

SMALL = Extraction(dataset="objects_tiny", workers=0, rounds=2)


def test_both_sides_extract_the_same_features():
    ours, plain = (side.work() for side in SMALL.sides(Setup()))
    assert ours.shape == plain.shape
    torch.testing.assert_close(ours, plain, atol=1e-4, rtol=1e-3)
    assert ours.std(0).max() > 0.01


def test_what_is_measured_is_positive():
    found = SMALL.measure(Setup())
    assert list(found.figures) == ["sslbench", "plain loop"]
    assert all(figure.low > 0 for figure in found.figures.values())
    assert found.ratios["against_plain"].low > 0
