"""Batch norms in the weights of convolutions: the same features, and then the same network."""

import pytest
import torch
from torch import nn

from sslbench.nn import Encoder, EncoderConfig
from sslbench.nn.folding import folded
from sslbench.nn.modes import measuring

SMALL = {"layers": [2, 1, 1, 1], "channels": [8, 12, 16, 8]}
IMAGES = torch.rand(6, 3, 33, 33, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def encoder(name, **settings):
    """With statistics, scales and shifts as after some training, in double precision."""
    torch.manual_seed(0)
    found = Encoder(EncoderConfig(name=name, **settings)).double().eval()
    for module in found.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    return found


def norms(module):
    return [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("resnet18", {"options": SMALL}),
        ("resnet18", {"options": SMALL, "stem": "small"}),
        ("resnet18", {"options": SMALL, "stem": "small", "input": "lab_split"}),
        ("resnet26", {"options": {"channels": [8, 12, 16, 8]}}),
        ("resnet26d", {"options": {"channels": [8, 12, 16, 8]}}),  # a deep stem, pooled shortcuts
        ("resnext26ts", {}),  # no ResNet of timm's
    ],
)
def test_features_stay_and_the_network_comes_back(name, settings):
    network = encoder(name, **settings)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    parts = list(network.modules())
    with torch.no_grad():
        expected = network(IMAGES)
        with folded(network):
            left = len(norms(network))
            torch.testing.assert_close(network(IMAGES), expected, rtol=1e-12, atol=1e-12)
        assert torch.equal(network(IMAGES), expected)
    assert left < len(norms(network)) / 4 or name == "resnext26ts"
    assert [id(part) for part in network.modules()] == [id(part) for part in parts]
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_what_is_no_batch_norm_stays():
    network = encoder("resnet18", options=SMALL, norm="group")
    parts = [id(part) for part in network.modules()]
    with folded(network):
        assert [id(part) for part in network.modules()] == parts


def interrupted(network):
    with measuring(network), folded(network):
        assert not norms(network)
        raise KeyboardInterrupt


def test_an_exception_inside_leaves_the_network_as_it_was():
    network = encoder("resnet18", options=SMALL).train()
    count = len(norms(network))
    with pytest.raises(KeyboardInterrupt):
        interrupted(network)
    assert len(norms(network)) == count
    assert all(part.training for part in network.modules())


def test_in_training_mode_it_is_refused():
    with pytest.raises(AssertionError), folded(encoder("resnet18", options=SMALL).train()):
        pass
