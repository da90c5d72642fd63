"""Pixels that a 1 x 1 convolution skips may be left out before it: the numbers stay."""

import copy

import pytest
import torch
from torch import nn

from sslbench.nn.strided import skip_before


@pytest.mark.parametrize(("channels", "stride"), [(3, 2), (4, (2, 1)), (12, 3)])
def test_values_and_gradients_are_those_of_the_strided_convolution(channels, stride):
    plain = nn.Sequential(nn.Conv2d(channels, 5, 1, stride=stride)).double()
    changed = copy.deepcopy(plain)
    skip_before(changed)
    assert changed[0].stride == (1, 1)
    assert changed.state_dict().keys() == plain.state_dict().keys()
    images = torch.randn(2, channels, 9, 8, dtype=torch.float64)
    found = []
    for network in (plain, copy.deepcopy(changed)):
        given = images.clone().requires_grad_()
        out = network(given)
        out.square().sum().backward()
        found.append((out, given.grad, network[0].weight.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(16, 4, 1, stride=2),
        nn.Conv2d(4, 4, 3, stride=2),
        nn.Conv2d(4, 4, 1),
        nn.Conv2d(4, 4, 1, stride=2, padding=1),
    ],
)
def test_other_convolutions_stay_as_they_are(convolution):
    stride = convolution.stride
    skip_before(nn.Sequential(convolution))
    assert convolution.stride == stride
    assert not convolution._forward_pre_hooks


def test_a_narrow_network_is_trained_channels_last_without_the_process_dying():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 1, stride=2))
    skip_before(network)
    network = network.to(memory_format=torch.channels_last)
    for _ in range(12):
        images = torch.randn(8, 3, 16, 16).to(memory_format=torch.channels_last)
        network(images).square().sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())
