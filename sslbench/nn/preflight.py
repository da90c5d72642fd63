"""What is looked at before a detector is trained for hours, and said in its record.

Poor transfer is often no finding about an encoder but a fault between the two: weights that did not
arrive, pixels normalised twice or not at all, batch norm frozen without anyone's wish. Each is an
error here. That maps are too few or too coarse is one when the detector is built.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from sslbench.errors import ConfigError, PluginError
from sslbench.nn.detector import PROBE, Detector, strides
from sslbench.nn.encoder import Encoder
from sslbench.nn.modes import measuring

ARRIVED = 0.99  # share of the encoder's tensors, at the least

BatchNorm = nn.modules.batchnorm._BatchNorm


def preflight(detector: Detector, encoder: Encoder) -> dict[str, Any]:
    """What a detector that is about to be trained is made of; it stays as it is.

    ``encoder`` is what the detector was built on, as it was before. Raises ConfigError for settings
    with which training makes no sense, PluginError for a detector that is not what was asked for.
    """
    _pixels_are_normalised_once(detector)
    found = _maps(detector)
    return {
        "encoder_strides": strides(encoder),  # pixels between neighbours of a map, finest first
        "map_strides": [PROBE // of.shape[-1] for of in found],  # of those that propose regions
        "anchor_sides": [list(of) for of in detector.network.rpn.anchor_generator.sizes],
        **_norms(detector),
        "encoder_tensors_loaded": _arrived(detector, encoder),
    }


def _pixels_are_normalised_once(detector: Detector) -> None:
    """Images are handed over in [0, 1], and nobody but the encoder normalises them."""
    encoder = detector.encoder
    mean, std = encoder.mean.flatten().tolist(), encoder.std.flatten().tolist()
    if not encoder.is_split and (max(mean) > 1 or min(std) <= 0 or max(std) > 1):
        raise ConfigError(
            f"encoder.mean = {_shown(mean)} and encoder.std = {_shown(std)} are not of pixels in "
            "[0, 1], which is what an encoder is handed. Divide those of 0 to 255 by 255"
        )
    image = torch.linspace(0, 1, 3 * PROBE * PROBE, device=encoder.mean.device)
    image = image.view(3, PROBE, PROBE)
    batch: ImageList = detector.network.transform([image])[0]
    if not torch.equal(batch.tensors[0], image):
        raise PluginError(
            "the detector changes pixels before its encoder sees them; the encoder alone normalises"
        )


def _maps(detector: Detector) -> list[Tensor]:
    with measuring(detector):
        blank = torch.zeros(1, 3, PROBE, PROBE, device=detector.encoder.mean.device)
        found = detector.network.backbone(blank)
    return list(found.values()) if isinstance(found, dict) else [found]


def _norms(detector: Detector) -> dict[str, Any]:
    """How many batch norms the encoder has, and how many learn on."""
    live = detector.config.norm == "live"
    was_training = detector.training
    detector.train()
    norms = {n: m for n, m in detector.encoder.named_modules() if isinstance(m, BatchNorm)}
    learning = {n for n, m in norms.items() if m.training}
    fixed = {n for n, m in norms.items() if not all(p.requires_grad for p in m.parameters())}
    detector.train(was_training)
    unlike = norms.keys() - learning if live else learning
    if detector.config.trainable:
        unlike = unlike | fixed
    if unlike:
        raise PluginError(
            f"norm: {detector.config.norm} was asked for, and {len(unlike)} of {len(norms)} batch "
            f"norms of the encoder are otherwise, such as {min(unlike)}"
        )
    return {"batch_norms": len(norms), "batch_norms_live": len(learning)}


def _arrived(detector: Detector, encoder: Encoder) -> float:
    """The share of the encoder's tensors that the detector holds, with equal values."""
    held = detector.encoder.state_dict()
    stage5 = getattr(detector.network.roi_heads.box_head, "stage5", None)
    if stage5 is not None:  # what reads regions is the encoder's, too
        held |= {f"network.layer4.{name}": of for name, of in stage5.state_dict().items()}
    wanted = encoder.state_dict()
    lost = [n for n, of in wanted.items() if n not in held or not torch.equal(held[n], of)]
    share = 1 - len(lost) / len(wanted)
    if share < ARRIVED:
        raise PluginError(
            f"{len(lost)} of {len(wanted)} tensors of the encoder did not arrive in the detector, "
            f"such as {lost[0]}: it would be trained from other weights than were to be measured"
        )
    return share


def _shown(values: list[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"
