"""The encoder: what it normalises, its two towers on Lab, its group norm."""

import pytest
import timm
import torch
from torch import nn

from sslbench.config import build
from sslbench.errors import ConfigError
from sslbench.nn import Encoder, EncoderConfig
from sslbench.nn.detector import Detector, DetectorConfig, strides
from sslbench.nn.encoder import _group_norm
from sslbench.nn.lab import rgb_to_lab

TINY = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 24]}
SMALL = {"name": "resnet18", "options": TINY, "stem": "small", "stem_stride": 2}
SPLIT = {**SMALL, "input": "lab_split"}
NARROW = {
    "fpn_width": 8,
    "head_width": 8,
    "anchor_scales": [2.0],
    "candidates": 20,
    "proposals": 20,
    "anchor_samples": 16,
    "region_samples": 16,
    "region_size": 3,
    "score_threshold": 0.0,
}


def made(seed=0, **config):
    torch.manual_seed(seed)
    return Encoder(EncoderConfig(**config))


def images(count=4, size=32, dtype=torch.float32):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1)).to(dtype)


# ---- rgb ----------------------------------------------------------------------------------------


def test_an_rgb_encoder_is_timms_network_behind_a_normalisation():
    encoder = made(name="resnet18", options=TINY).eval()
    torch.manual_seed(0)  # the same parameters, drawn in the same order
    options = {key: tuple(value) for key, value in TINY.items()}
    network = timm.create_model("resnet18", num_classes=0, **options).eval()
    expected = {f"network.{name}" for name in network.state_dict()} | {"mean", "std"}
    assert set(encoder.state_dict()) == expected
    mean, std = torch.tensor(encoder.config.mean), torch.tensor(encoder.config.std)
    seen = (images() - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    assert torch.equal(encoder(images()), network(seen))


def test_an_rgb_encoder_has_no_towers():
    with pytest.raises(ConfigError, match="no towers: set encoder"):
        made(**SMALL).towers(images())


@pytest.mark.parametrize("config", [SMALL, SPLIT])
def test_the_neutral_colour_is_normalised_to_zeros(config):
    encoder = made(**config)
    assert 0 < encoder.neutral.min() < encoder.neutral.max() < 1
    assert encoder.normalized(encoder.neutral).abs().max() < 1e-5


# ---- lab_split ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stem", ["imagenet", "small"])
def test_towers_are_half_as_wide_as_the_whole(stem):
    whole, split = made(**{**SMALL, "stem": stem}), made(**{**SPLIT, "stem": stem})
    assert split.dim == whole.dim
    lightness, colour = split.towers(images())
    assert lightness.shape == colour.shape == (4, split.dim // 2)
    assert split.network.lightness.conv1.weight.shape[1] == 1
    assert split.network.colour.conv1.weight.shape[1] == 2
    for stage, channels in enumerate(TINY["channels"], start=1):
        for tower in (split.network.lightness, split.network.colour):
            assert getattr(tower, f"layer{stage}")[0].conv2.out_channels == channels // 2


def test_a_split_resnet50_is_as_wide_as_a_whole_one_with_half_of_its_weights():
    whole, split = (made(name="resnet50", input=seen) for seen in ("rgb", "lab_split"))
    assert split.dim == whole.dim == 2048
    sizes = [sum(p.numel() for p in encoder.parameters()) for encoder in (whole, split)]
    assert sizes[1] / sizes[0] == pytest.approx(0.5, abs=0.01)


def test_forward_and_feature_maps_are_both_towers_concatenated():
    encoder = made(**SPLIT).eval()
    lightness, colour = encoder.towers(images())
    assert torch.equal(encoder(images()), torch.cat([lightness, colour], 1))
    maps = encoder.feature_maps(images())
    assert [m.shape[1] for m in maps] == [8, 8, 16, 24]
    last = maps[-1].mean((2, 3))
    torch.testing.assert_close(last, encoder(images()), atol=1e-5, rtol=1e-5)


def test_a_tower_sees_its_own_channels_only():
    encoder = made(**SPLIT).eval()
    seen = rgb_to_lab(images().double())
    grey = images().double().mean(1, keepdim=True).expand(-1, 3, -1, -1).float()
    before, after = encoder.towers(images()), encoder.towers(grey)
    assert not torch.allclose(before[1], after[1], atol=1e-3)
    # All greys have the same a and b, whatever their lightness.
    torch.testing.assert_close(after[1], encoder.towers(1 - grey)[1], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(after[0], encoder.towers(1 - grey)[0], atol=1e-3)
    assert seen[:, 1:].abs().max() > 1  # these images have colours


def test_the_towers_see_lab_between_minus_one_and_one():
    found = made(**SPLIT).normalized(images(64))
    assert found.abs().max() <= 1
    expected = (rgb_to_lab(images(64))[:, 0] - 50) / 50
    torch.testing.assert_close(found[:, 0], expected)


@pytest.mark.parametrize("change", [{}, {"norm": "group"}, {"bn_splits": 2}])
def test_a_split_encoder_trains_and_its_export_is_the_same_encoder(change):
    encoder = made(**SPLIT, **change).train()
    encoder(images()).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
    other = made(seed=1, **SPLIT, **change)
    other.load_state_dict(encoder.state_dict())
    assert torch.equal(other.eval()(images()), encoder.eval()(images()))


def test_bn_splits_give_every_chunk_of_both_towers_its_own_statistics():
    encoder = made(**SPLIT, bn_splits=2).train()
    alone = made(**SPLIT).train()
    both = encoder.towers(images(8))
    for found, one, other in zip(
        both, alone.towers(images(8)[:4]), alone.towers(images(8)[4:]), strict=True
    ):
        assert torch.equal(found, torch.cat([one, other]))


def test_a_split_encoder_runs_in_float64_and_under_autocast():
    encoder = made(**SPLIT).eval()
    full = encoder(images())
    with torch.autocast("cpu", torch.bfloat16):
        half = encoder(images())
    torch.testing.assert_close(half.float(), full, atol=0.05, rtol=0.05)
    double = encoder.double()(images(dtype=torch.float64))
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), full, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["convnext_atto", "vit_tiny_patch16_224", "resnetv2_50", "resne"])
def test_what_cannot_be_split_is_refused_and_what_can_is_named(name):
    with pytest.raises(ConfigError, match="use resnet18 or resnet50") as refusal:
        made(name=name, input="lab_split")
    assert name in str(refusal.value)


def test_channels_that_have_no_half_are_refused_with_the_nearest_that_do():
    options = {**TINY, "channels": [3, 4, 5, 8]}
    with pytest.raises(ConfigError, match=r"\[3, 4, 5, 8\].*Nearest that works: \[4, 4, 6, 8\]"):
        made(**{**SPLIT, "options": options})


@pytest.mark.parametrize("head", ["fpn", "c4"])
def test_a_split_encoder_carries_a_detector(head):
    encoder = made(**SPLIT)
    assert strides(encoder) == [2, 4, 8, 16]
    built = Detector(encoder, 2, build(DetectorConfig, {**NARROW, "head": head}, "test"))
    targets = [{"boxes": torch.tensor([[4.0, 6.0, 20.0, 30.0]]), "labels": torch.tensor([1])}]
    sum(built.train().losses([images(1, 48)[0]], targets).values()).backward()
    assert [n for n, p in built.named_parameters() if p.grad is None] == []
    for tower in (encoder.network.lightness, encoder.network.colour):
        assert tower.conv1.weight.grad.abs().sum() > 0
        assert tower.layer4[0].downsample[0].weight.grad.abs().sum() > 0


def test_a_c4_detector_reads_regions_with_both_towers_last_stages():
    encoder = made(**SPLIT).eval()
    *_, stage4, stage5 = encoder.feature_maps(images())
    torch.testing.assert_close(encoder.network.layer4(stage4), stage5)


# ---- group norm ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channels", "groups"),
    [(4, 1), (8, 1), (12, 1), (16, 2), (28, 2), (64, 8), (256, 32), (2048, 32)],
)
def test_a_group_has_at_least_8_channels_and_there_are_at_most_32(channels, groups):
    assert _group_norm(channels).num_groups == groups


@pytest.mark.parametrize("channels", [8, 16, 32, 64, 128, 2048])
def test_a_map_of_one_pixel_keeps_information_through_group_norm(channels):
    maps = torch.randn(50, channels, 1, 1, generator=torch.Generator().manual_seed(0))
    normed = _group_norm(channels)(maps).flatten(1)
    assert normed.std(0).min() > 0.5  # 0 with one channel in a group
    cosine = nn.functional.cosine_similarity(normed, maps.flatten(1))
    assert cosine.mean() > 0.9


def test_patches_of_8_pixels_keep_their_differences_through_a_group_norm_encoder():
    options = {"layers": [1, 1, 1, 1], "channels": [16, 32, 64, 128]}
    encoder = made(**{**SMALL, "options": options}, norm="group")
    assert not any(isinstance(m, nn.BatchNorm2d) for m in encoder.modules())
    features = encoder(images(200, 8)).detach()
    assert encoder.feature_maps(images(2, 8))[-1].shape[2:] == (1, 1)
    spread = features.std(0)
    assert (spread > 0.01).float().mean() > 0.9
    assert torch.linalg.matrix_rank(features - features.mean(0), rtol=1e-2) > 60
