"""The detector on small encoders: what is trained, what is kept, how images are padded."""

import pytest
import torch

from sslbench.config import build
from sslbench.errors import ConfigError
from sslbench.nn.config import EncoderConfig
from sslbench.nn.detector import Detector, DetectorConfig, strides
from sslbench.nn.encoder import Encoder

NARROW = {
    "fpn_width": 16,
    "head_width": 16,
    "anchor_scales": [4.0],
    "candidates": 20,
    "proposals": 20,
    "anchor_samples": 16,
    "region_samples": 16,
    "region_size": 3,
    "score_threshold": 0.0,
}


def small_encoder(name="resnet18", **options):
    torch.manual_seed(0)
    options = options or {"layers": [1, 1, 1, 1], "channels": [4, 8, 8, 8]}
    small = {"stem": "small", "stem_stride": 2} if name.startswith("resnet") else {}
    return Encoder(EncoderConfig(name=name, options=options, **small))


def detector(encoder=None, classes=3, **changes):
    config = build(DetectorConfig, {**NARROW, **changes}, "test")
    return Detector(encoder or small_encoder(), classes, config)


def batch(classes=3):
    """Two images of different sizes, the second without objects."""
    generator = torch.Generator().manual_seed(1)
    images = [
        torch.rand(3, 48, 40, generator=generator),
        torch.rand(3, 32, 48, generator=generator),
    ]
    boxes = torch.tensor([[4.0, 6.0, 20.0, 30.0], [20.0, 20.0, 38.0, 44.0]])
    targets = [
        {"boxes": boxes, "labels": torch.tensor([0, classes - 1])},
        {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)},
    ]
    return images, targets


def statistics(module):
    return {k: v.clone() for k, v in module.state_dict().items() if "running" in k}


def test_probing_for_strides_leaves_the_encoder_as_it_was():
    encoder = small_encoder().train()
    before = statistics(encoder)
    assert strides(encoder) == [2, 4, 8, 16]
    assert encoder.training
    assert all(torch.equal(before[k], v) for k, v in statistics(encoder).items())


@pytest.mark.parametrize(
    "changes", [{}, {"head": "c4", "anchor_scales": [1.0, 2.0]}], ids=["fpn", "c4"]
)
def test_a_step_reaches_every_parameter_and_negatives_are_no_fault(changes):
    built = detector(**changes).train()
    losses = built.losses(*batch())
    assert set(losses) == {
        "loss_classifier",
        "loss_box_reg",
        "loss_objectness",
        "loss_rpn_box_reg",
    }
    sum(losses.values()).backward()
    untouched = [n for n, p in built.named_parameters() if p.grad is None]
    assert untouched == []
    stem = built.encoder.network.conv1.weight
    assert stem.grad.abs().sum() > 0


@pytest.mark.parametrize("head", ["fpn", "c4"])
def test_a_frozen_encoder_stays_as_it_is(head):
    encoder = small_encoder()
    built = detector(encoder, head=head, trainable=False, norm="frozen").train()
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in built.parameters() if p.requires_grad], lr=0.1)
    sum(built.losses(*batch()).values()).backward()
    optimizer.step()
    assert all(p.grad is None for p in encoder.parameters())
    assert all(torch.equal(before[k], v) for k, v in encoder.state_dict().items())


def test_frozen_norms_keep_their_statistics_and_live_ones_do_not():
    for norm, same in (("frozen", True), ("live", False)):
        encoder = small_encoder()
        built = detector(encoder, norm=norm).train()
        before = statistics(encoder)
        built.losses(*batch())
        kept = [torch.equal(before[k], v) for k, v in statistics(encoder).items()]
        assert kept == [same] * len(kept)
        built.eval()
        assert not any(module.training for module in built.modules())


def test_detections_carry_the_data_sets_own_classes_and_lie_in_the_image():
    built = detector(classes=2).eval()
    images, _ = batch(classes=2)
    for image, found in zip(images, built.detect(images), strict=True):
        assert 0 < len(found["scores"]) <= 100
        assert set(found["labels"].tolist()) <= {0, 1}
        height, width = image.shape[-2:]
        assert found["boxes"].min() >= 0
        assert found["boxes"][:, 2].max() <= width
        assert found["boxes"][:, 3].max() <= height
        assert torch.equal(found["scores"], found["scores"].sort(descending=True).values)


def test_the_last_class_is_learnt_as_such():
    built = detector(classes=2, norm="frozen").train()
    images, targets = batch(classes=2)
    targets[0]["labels"][:] = 1
    optimizer = torch.optim.SGD(built.parameters(), lr=0.05, momentum=0.9)
    for step in range(40):
        torch.manual_seed(step)
        optimizer.zero_grad()
        sum(built.losses(images, targets).values()).backward()
        torch.nn.utils.clip_grad_norm_(built.parameters(), 5.0)
        optimizer.step()
    best = built.eval().detect(images[:1])[0]
    assert best["labels"][0] == 1


def test_padding_is_what_the_encoder_turns_into_zero():
    built = detector()
    images, targets = batch()
    padded, _ = built.network.transform(images, targets)
    assert padded.tensors.shape == (2, 3, 48, 48)  # the largest sides, as multiples of stride 16
    assert padded.image_sizes == [(48, 40), (32, 48)]
    seen = built.encoder.normalized(padded.tensors)
    assert torch.equal(padded.tensors[0, :, :, :40], images[0])
    assert seen[0, :, :, 40:].abs().max() < 1e-6
    assert seen[1, :, 32:].abs().max() < 1e-6


def test_regions_are_read_at_the_maps_strides_however_much_images_are_padded():
    built = detector()
    images = [torch.rand(3, 20, 40)]  # padded to 32: as if maps were of half the stride
    targets = [{"boxes": torch.tensor([[2.0, 2.0, 30.0, 18.0]]), "labels": torch.tensor([0])}]
    built.losses(images, targets)
    pool = built.network.roi_heads.box_roi_pool
    assert pool.scales == [1 / 4, 1 / 8, 1 / 16]
    assert (pool.map_levels.k_min, pool.map_levels.k_max) == (2, 4)


def test_anchors_grow_with_the_stride_of_their_map():
    generator = detector(anchor_scales=[3.0]).network.rpn.anchor_generator
    assert generator.sizes == ((12.0,), (24.0,), (48.0,), (96.0,))  # strides 4, 8, 16 and 32


def test_what_cannot_be_built_is_said_so():
    with pytest.raises(ConfigError, match="stride"):
        detector(finest_stride=8)
    with pytest.raises(ConfigError, match="norm must be frozen"):
        detector(trainable=False)
    transformer = small_encoder("vit_tiny_patch16_224", img_size=128, depth=1)
    with pytest.raises(ConfigError, match="needs 3 of stride 4"):
        detector(transformer)
    with pytest.raises(ConfigError, match="head: fpn"):
        detector(transformer, head="c4")
