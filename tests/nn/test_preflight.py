"""What is looked at before a detector is trained, on detectors with the faults it is to find."""

import copy

import pytest
import torch

from sslbench.config import build
from sslbench.errors import ConfigError, PluginError
from sslbench.nn.config import EncoderConfig
from sslbench.nn.detector import Detector, DetectorConfig
from sslbench.nn.encoder import Encoder
from sslbench.nn.preflight import preflight

NARROW = {"fpn_width": 16, "head_width": 16, "region_size": 3}


def small_encoder(**changes):
    torch.manual_seed(0)
    options = {"layers": [1, 1, 1, 1], "channels": [4, 8, 8, 8]}
    small = {"stem": "small", "stem_stride": 2, **changes}
    return Encoder(EncoderConfig(name="resnet18", options=options, **small))


def pair(encoder=None, **changes):
    """A detector and the encoder it was built on."""
    encoder = encoder or small_encoder()
    config = build(DetectorConfig, {**NARROW, **changes}, "test")
    return Detector(copy.deepcopy(encoder), 3, config), encoder


def test_the_facts_of_a_pyramid():
    assert preflight(*pair(anchor_scales=[4.0, 8.0])) == {
        "encoder_strides": [2, 4, 8, 16],
        "map_strides": [4, 8, 16, 32],
        "anchor_sides": [[16.0, 32.0], [32.0, 64.0], [64.0, 128.0], [128.0, 256.0]],
        "batch_norms": 13,
        "batch_norms_live": 13,
        "encoder_tensors_loaded": 1.0,
    }


def test_the_facts_of_a_c4_head_with_frozen_norms():
    facts = preflight(*pair(head="c4", norm="frozen", trainable=False))
    assert facts["map_strides"] == [8]  # of stage 4
    assert facts["anchor_sides"] == [[64.0]]
    assert (facts["batch_norms"], facts["batch_norms_live"]) == (13, 0)


def test_a_photograph_s_stem_gives_the_strides_of_the_papers():
    encoder = small_encoder(stem="imagenet", stem_stride=1)
    facts = preflight(*pair(encoder, head="c4", anchor_scales=[2.0, 32.0]))
    assert facts["encoder_strides"] == [2, 4, 8, 16, 32]
    assert facts["map_strides"] == [16]
    assert facts["anchor_sides"] == [[32.0, 512.0]]


def test_it_leaves_the_detector_as_it_was():
    built, encoder = pair()
    built.eval()
    before = {name: value.clone() for name, value in built.state_dict().items()}
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    preflight(built, encoder)
    assert torch.equal(torch.rand(1), wanted)
    assert not built.training
    assert all(torch.equal(before[name], value) for name, value in built.state_dict().items())


def test_statistics_of_pixels_from_0_to_255_are_refused():
    encoder = small_encoder(mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4))
    with pytest.raises(ConfigError, match=r"mean = \(123.7, 116.3, 103.5\).*Divide"):
        preflight(*pair(encoder))


def test_two_towers_have_their_own_statistics_of_lab():
    torch.manual_seed(0)
    options = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8]}
    config = EncoderConfig(
        name="resnet18", options=options, stem="small", stem_stride=2, input="lab_split"
    )
    assert preflight(*pair(Encoder(config)))["encoder_tensors_loaded"] == 1.0


def test_pixels_that_are_normalised_twice_are_found():
    built, encoder = pair()
    padded = built.network.transform.forward

    def again(images, targets=None):
        return padded([(image - 0.45) / 0.23 for image in images], targets)

    built.network.transform.forward = again
    with pytest.raises(PluginError, match="changes pixels"):
        preflight(built, encoder)


def test_norms_that_are_not_as_asked_for_are_found():
    built, encoder = pair()
    built.encoder.network.bn1.requires_grad_(False)
    with pytest.raises(PluginError, match=r"norm: live.*1 of 13.*network.bn1"):
        preflight(built, encoder)
    built, encoder = pair()
    built.config = built.config.model_copy(update={"norm": "frozen"})
    assert preflight(built, encoder)["batch_norms_live"] == 0
    built.train = lambda mode=True: super(Detector, built).train(mode)
    with pytest.raises(PluginError, match=r"norm: frozen.*13 of 13"):
        preflight(built, encoder)


@pytest.mark.parametrize("head", ["fpn", "c4"])
def test_weights_that_did_not_arrive_are_found(head):
    built, encoder = pair(head=head)
    with torch.no_grad():
        for parameter in built.encoder.network.layer4.parameters():
            parameter.add_(1.0)
    with pytest.raises(PluginError, match=r"\d+ of \d+ tensors.*network\.layer4"):
        preflight(built, encoder)


def test_the_head_s_own_stage_5_must_be_the_encoder_s():
    built, encoder = pair(head="c4")
    box_head = built.network.roi_heads.box_head
    box_head.stage5 = copy.deepcopy(box_head.stage5)  # equal values: nothing is amiss yet
    assert preflight(built, encoder)["encoder_tensors_loaded"] == 1.0
    with torch.no_grad():
        box_head.stage5[0].conv1.weight.zero_()
        box_head.stage5[0].conv2.weight.zero_()
    with pytest.raises(PluginError, match=r"network\.layer4\.0\.conv1\.weight"):
        preflight(built, encoder)
