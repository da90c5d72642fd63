"""Which layers there are, without a look at an image, and what is said of others."""

import pytest
import torch

from sslbench.nn.config import EncoderConfig
from sslbench.nn.encoder import Encoder
from sslbench.nn.layers import map_shapes, no_such_layer

RESNET = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 24]}
VIT = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 2, "num_heads": 3}


@pytest.mark.parametrize(("stem", "maps"), [("small", 4), ("imagenet", 5)])
def test_a_resnet_has_a_layer_per_stride(stem, maps):
    encoder = Encoder(EncoderConfig(name="resnet18", options=RESNET, stem=stem))
    assert no_such_layer(encoder, 0, maps - 1, -1) is None
    reason = no_such_layer(encoder, -1, maps)
    assert f"layer {maps}: encoder 'resnet18' has {maps} feature maps, 0 to {maps - 1}" in reason


def test_a_transformer_of_one_image_size_has_one_layer_and_its_output():
    encoder = Encoder(EncoderConfig(name="vit_tiny_patch16_224", options=VIT))
    assert no_such_layer(encoder, -1, 0) is None
    assert "has 1 feature maps" in no_such_layer(encoder, 1)


def test_asking_leaves_the_encoder_as_it_was():
    encoder = Encoder(EncoderConfig(name="resnet18", options=RESNET, stem="small")).train()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    no_such_layer(encoder, 2)
    assert encoder.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())


def test_a_network_without_maps_has_its_output_only():
    encoder = Encoder(EncoderConfig(name="resnet18", options=RESNET, stem="small"))

    class Bare(torch.nn.Module):
        def forward(self, images):
            return images

    encoder.network = Bare()
    assert no_such_layer(encoder, -1) is None
    assert "gives no feature maps" in no_such_layer(encoder, 0)


def test_planning_many_rows_puts_one_blank_image_of_a_size_through_an_encoder(monkeypatch):
    encoder = Encoder(EncoderConfig(name="resnet18", options=RESNET, stem="small"))
    given = []
    maps = encoder.feature_maps
    monkeypatch.setattr(encoder, "feature_maps", lambda x: given.append(x.shape) or maps(x))
    for _ in range(3):
        assert map_shapes(encoder, 64, 64)[-1] == (1, 24, 8, 8)
        assert map_shapes(encoder, 32, 64)[-1] == (1, 24, 4, 8)
    assert given == [(1, 3, 64, 64), (1, 3, 32, 64)]
