"""The case of the probes' grid: however they are trained, the probes are the same."""

import torch

from sslbench.speed.cases import Setup
from sslbench.speed.probes import NARROW, WIDE, ProbeGrid

SMALL = ProbeGrid(
    "small", 300, 8, classes=4, lrs=(0.1, 1.0), weight_decays=(0.0, 0.1), batch_size=64, rounds=2
)


def test_the_grid_ends_with_the_weights_of_single_probes_and_of_torch():
    together, single, plain = (side.work() for side in SMALL.sides(Setup()))
    assert together.weight.shape == (8, 4, 4)
    for head in range(4):
        weight, bias = together.weight[:, :, head], together.bias[:, head]
        torch.testing.assert_close(weight, single[head].weight[:, :, 0])
        torch.testing.assert_close(bias, single[head].bias[:, 0])
        torch.testing.assert_close(weight.T, plain[head].weight.detach())
        torch.testing.assert_close(bias, plain[head].bias.detach())
        assert weight.abs().max() > 0.01


def test_what_is_measured_is_positive():
    found = SMALL.measure(Setup())
    assert all(figure.low > 0 for figure in found.figures.values())
    assert list(found.ratios) == ["against_single", "against_torch"]


def test_the_full_grids_have_39_settings():
    assert {len(case.grid) for case in (NARROW, WIDE)} == {39}
