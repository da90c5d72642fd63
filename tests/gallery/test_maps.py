"""Attention of the class token, what a pooled feature is made of, and maps over images."""

from typing import Any

import numpy as np
import pytest
import torch

from sslbench.gallery.activation_maps import activation
from sslbench.gallery.attention_maps import attention, is_transformer
from sslbench.gallery.collection import Collection
from sslbench.gallery.overlay import coloured, laid_over, stretched
from sslbench.nn.encoder import Encoder


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_attention_is_that_of_the_last_blocks_own_weights(house: Any, images: Any) -> None:
    torch.manual_seed(0)
    encoder = Encoder(house.vit).eval()
    found = attention(encoder, images)
    network = encoder.network
    with torch.no_grad():
        tokens = network.patch_embed(encoder.normalized(images))
        tokens = network._pos_embed(tokens)
        tokens = network.blocks[-1].norm1(network.blocks[0](network.norm_pre(tokens)))
        last = network.blocks[-1].attn
        weight, bias = last.qkv.weight, last.qkv.bias  # 3 x heads x 8 rows
        heads = (tokens @ weight.T + bias).reshape(3, 5, 3, 3, 8)  # N, tokens, qkv, heads, width
        for image in range(3):
            for head in range(3):
                query, key = heads[image, 0, 0, head], heads[image, :, 1, head]
                share = ((key @ query) / 8**0.5).softmax(0)[1:]  # without the class token itself
                assert torch.allclose(found[image, head].flatten(), share, atol=1e-6)
    assert found.shape == (3, 3, 2, 2)


def test_reading_attention_changes_no_feature(house: Any, images: Any) -> None:
    encoder = Encoder(house.vit).eval()
    with torch.no_grad():
        before = encoder(images)
        attention(encoder, images)
        assert torch.allclose(encoder(images), before, atol=1e-5)


def test_attention_without_a_class_token_is_the_mean_over_patches(house: Any, images: Any) -> None:
    options = {**house.vit.options, "class_token": False, "global_pool": "avg"}
    encoder = Encoder(house.vit.model_copy(update={"options": options})).eval()
    found = attention(encoder, images)
    assert found.shape == (3, 3, 2, 2)
    assert torch.allclose(found.sum((2, 3)), torch.ones(3, 3), atol=1e-5)


def test_transformers_are_known_by_timms_name(house: Any) -> None:
    house.hang("moco")
    house.hang("dino", house.vit)
    assert [is_transformer(one) for one in house.collection().exhibits] == [False, True]


def test_an_activation_map_divides_the_squared_feature_over_positions(house: Any) -> None:
    encoder = Encoder(house.resnet).eval().requires_grad_(False)
    large = torch.rand(2, 3, 64, 64)  # the last map is 4 x 4
    found = activation(encoder, large)
    maps = encoder.feature_maps(large)[-1]
    feature = encoder(large)  # N x C
    shares = torch.einsum("nc,nchw->nhw", feature, maps).detach()
    assert torch.allclose(shares.mean((1, 2)), feature.square().sum(1).detach(), rtol=1e-4)
    assert torch.allclose(found, shares / shares.amax((1, 2), keepdim=True), atol=1e-5)


def test_where_the_last_map_is_too_coarse_an_earlier_one_is_weighted(
    house: Any, images: Any
) -> None:
    encoder = Encoder(house.resnet).eval().requires_grad_(False)
    found = activation(encoder, images)
    assert found.shape == (3, 4, 4)  # the last map is 2 x 2
    with torch.enable_grad():
        maps = encoder.feature_maps(images.clone().requires_grad_())
        gradient = torch.autograd.grad(maps[-1].mean((2, 3)).square().sum() / 2, maps[-2])[0]
    weighted = (gradient.mean((2, 3), keepdim=True) * maps[-2]).sum(1).relu().detach()
    assert torch.allclose(found, weighted / weighted.amax((1, 2), keepdim=True), atol=1e-5)


def test_a_split_encoder_has_an_activation_map(house: Any, images: Any) -> None:
    split = house.resnet.model_copy(update={"input": "lab_split"})
    encoder = Encoder(split).eval().requires_grad_(False)
    assert activation(encoder, images).shape == (3, 2, 2)


def test_a_map_lies_over_the_image_where_it_is() -> None:
    image = torch.full((1, 3, 32, 32), 0.5)
    image[..., :16] = 0.6  # the left half is lighter, so that the image has a range
    maps = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    over = laid_over(image, maps)[0]
    side = over.shape[0]
    assert side == 64
    ends = coloured(torch.tensor([[[0.0, 1.0]]]))[0, 0].astype(int)
    assert np.abs(over[0, 0].astype(int) - ends[1]).max() <= 6  # the lightest pixels keep a colour
    assert np.abs(over[-1, 0].astype(int) - ends[0]).max() <= 6
    assert all(np.abs(over[0, 31].astype(int) - end).max() > 30 for end in ends)  # in between


def test_stretching_a_constant_map_gives_zeros() -> None:
    maps = torch.stack([torch.full((2, 2), 3.0), torch.tensor([[1.0, 2.0], [3.0, 5.0]])])
    assert stretched(maps).tolist() == [[[0, 0], [0, 0]], [[0, 0.25], [0.5, 1]]]


def test_encoders_are_read_with_the_digest_of_their_manifest(house: Any) -> None:
    house.hang("moco")
    collection: Collection = house.collection()
    encoder = collection.encoder(collection.exhibits[0])
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
