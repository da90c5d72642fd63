"""torchvision's Faster R-CNN on an Encoder, with an FPN head or a C4 head.

Ren et al., "Faster R-CNN", arXiv:1506.01497; Lin et al., "Feature Pyramid Networks",
arXiv:1612.03144. How it is fine-tuned follows He et al., "Momentum Contrast", arXiv:1911.05722,
section 4.2: batch norm learns on, and layers that start from nothing have a norm of their own, for
encoders differ in the magnitude of their features. The paper synchronises its norms over devices;
here one device trains, so that they are of the whole batch as well. Departures: the paper used
Detectron2, whose box losses are L1 where torchvision's proposing loss is smooth (beta 1/9), and
whose "aligned" RoIAlign reads half a pixel of the map further up and to the left.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FasterRCNN, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool

from sslbench.config import Settings
from sslbench.errors import ConfigError
from sslbench.nn.encoder import Encoder
from sslbench.nn.layers import map_shapes

PROBE = 128  # pixels of a side; every stride in use divides it
LEAST_LEVELS = 3  # maps that a pyramid is built on

Targets = Mapping[str, Tensor]  # boxes: K x 4 left, top, right, bottom in pixels; labels: K, from 0


class DetectorConfig(Settings):
    """The defaults are torchvision's and Detectron2's for photographs of 800 pixels."""

    head: Literal["fpn", "c4"] = "fpn"
    trainable: bool = True  # whether the encoder is fine-tuned
    norm: Literal["live", "frozen"] = (
        "live"  # frozen: the encoder's batch norm keeps its statistics
    )
    fpn_width: int = Field(default=256, ge=1)
    head_width: int = Field(default=1024, ge=1)  # of the two layers that read a region; FPN only
    finest_stride: int = Field(default=4, ge=1)  # maps finer than this are not used
    anchor_scales: tuple[float, ...] = Field(default=(8.0,), min_length=1)  # sides in strides
    anchor_ratios: tuple[float, ...] = Field(default=(0.5, 1.0, 2.0), min_length=1)
    candidates: int = Field(default=1000, ge=1)  # regions of a level that enter suppression
    proposals: int = Field(default=1000, ge=1)  # regions of an image that leave it
    anchor_samples: int = Field(default=256, ge=1)  # of an image, to learn proposing from
    region_samples: int = Field(default=512, ge=1)  # of an image, for the head to learn from
    region_size: int = Field(default=7, ge=1)  # bins of a side that a region is read in
    bin_samples: int = Field(default=2, ge=1)  # points of a side that a bin averages
    score_threshold: float = Field(default=0.05, ge=0, lt=1)
    detections: int = Field(default=100, ge=1)  # of an image

    @model_validator(mode="after")
    def _a_frozen_encoder_has_frozen_norms(self) -> "DetectorConfig":
        if not self.trainable and self.norm == "live":
            raise ValueError("trainable: false keeps the encoder as it is, so norm must be frozen")
        return self


class Detector(nn.Module):
    """Images N of 3 x H x W in [0, 1], of any sizes; boxes in their pixels."""

    def __init__(self, encoder: Encoder, classes: int, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        encoder.requires_grad_(config.trainable)
        build = _c4 if config.head == "c4" else _fpn
        backbone, anchors, pool, head, width = build(encoder, config)
        self.network = FasterRCNN(
            backbone,
            rpn_anchor_generator=anchors,
            rpn_pre_nms_top_n_train=config.candidates,
            rpn_pre_nms_top_n_test=config.candidates,
            rpn_post_nms_top_n_train=config.proposals,
            rpn_post_nms_top_n_test=config.proposals,
            rpn_batch_size_per_image=config.anchor_samples,
            box_roi_pool=pool,
            box_head=head,
            box_predictor=FastRCNNPredictor(width, classes + 1),  # and the background
            box_score_thresh=config.score_threshold,
            box_detections_per_img=config.detections,
            box_batch_size_per_image=config.region_samples,
        )
        self.network.transform = _Padded(encoder, strides(encoder)[-1])

    def train(self, mode: bool = True) -> "Detector":
        super().train(mode)
        if self.config.norm == "frozen":
            for module in self.encoder.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def losses(self, images: list[Tensor], targets: list[Targets]) -> dict[str, Tensor]:
        """The four losses of a step. An image without boxes is a negative."""
        with_background = [  # torchvision's class 0
            {"boxes": target["boxes"], "labels": target["labels"] + 1} for target in targets
        ]
        losses: dict[str, Tensor] = self.network(images, with_background)
        return losses

    @torch.no_grad()
    def detect(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        """``boxes`` (K x 4), ``labels`` (K, from 0), ``scores`` (K) of each image, best first."""
        return [{**found, "labels": found["labels"] - 1} for found in self.network(images)]

    @property
    def encoder(self) -> Encoder:
        encoder: Encoder = self.network.backbone.encoder
        return encoder


def strides(encoder: Encoder) -> list[int]:
    """Pixels between neighbours of each of the encoder's maps, finest first.

    Raises ConfigError if timm gives no maps of this network.
    """
    return [PROBE // shape[-1] for shape in _shapes(encoder)]


def usable_strides(encoder: Encoder, config: DetectorConfig) -> list[int]:
    """Those of ``strides`` that a detector may use. Raises ConfigError if they are too few."""
    every = strides(encoder)
    usable = [stride for stride in every if stride >= config.finest_stride]
    if len(usable) < LEAST_LEVELS:
        given = encoder.config
        small = f" (its small stem has stride {given.stem_stride})" if given.stem == "small" else ""
        raise ConfigError(
            f"encoder {given.name!r} has maps of stride {every}{small}; a detector needs "
            f"{LEAST_LEVELS} of stride {config.finest_stride} (finest_stride) or more. A stem that "
            "halves the image more often gives coarser maps, a smaller finest_stride uses finer "
            "ones"
        )
    return usable


def _shapes(encoder: Encoder) -> list[torch.Size]:
    try:
        return map_shapes(encoder, PROBE, PROBE)
    except ConfigError as error:
        raise ConfigError(
            f"{error}, and detection needs them. Use a convolutional network of timm"
        ) from error


# What gives maps, their anchors, what cuts regions out, what reads those, the width of that.
Parts = tuple[nn.Module, AnchorGenerator, MultiScaleRoIAlign, nn.Module, int]


def _fpn(encoder: Encoder, config: DetectorConfig) -> Parts:
    used = usable_strides(encoder, config)
    widths = [shape[1] for shape in _shapes(encoder)[-len(used) :]]
    backbone = _Pyramid(encoder, widths, config)
    levels = [*used, 2 * used[-1]]  # one more by sub-sampling
    ratios = (config.anchor_ratios,) * len(levels)
    anchors = AnchorGenerator(
        tuple(tuple(scale * stride for scale in config.anchor_scales) for stride in levels), ratios
    )
    pool = _RegionPool(
        [str(level) for level in range(len(used))],
        config.region_size,
        used[0],
        sampling_ratio=config.bin_samples,
        # Which map a region is read from: the paper's 224 pixels at stride 16 go with anchors of
        # 8 strides; smaller anchors move the border alike.
        canonical_scale=round(28 * config.anchor_scales[0]),
        canonical_level=4,
    )
    head = TwoMLPHead(config.fpn_width * config.region_size**2, config.head_width)
    return backbone, anchors, pool, head, config.head_width


class _RegionPool(MultiScaleRoIAlign):  # type: ignore[misc]
    """Cuts regions out of maps whose finest has a known stride.

    torchvision infers the maps' scales from the height that images had before they were padded, in
    the first batch, and is off by two where that is far less than the padded height.
    """

    def __init__(self, names: list[str], size: int, finest_stride: int, **options: Any) -> None:
        super().__init__(names, size, **options)
        self.finest_stride = finest_stride

    def forward(
        self, maps: dict[str, Tensor], boxes: list[Tensor], image_sizes: list[tuple[int, int]]
    ) -> Tensor:
        del image_sizes
        height, width = maps[self.featmap_names[0]].shape[-2:]
        padded = (height * self.finest_stride, width * self.finest_stride)
        regions: Tensor = super().forward(maps, boxes, [padded])
        return regions


class _Pyramid(nn.Module):
    """The encoder's last maps, brought to one width and summed from coarse to fine."""

    def __init__(self, encoder: Encoder, widths: list[int], config: DetectorConfig) -> None:
        super().__init__()
        self.encoder, self.trainable = encoder, config.trainable
        self.levels, self.out_channels = len(widths), config.fpn_width
        self.fpn = FeaturePyramidNetwork(
            widths, config.fpn_width, extra_blocks=LastLevelMaxPool(), norm_layer=nn.BatchNorm2d
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        with torch.set_grad_enabled(self.trainable and torch.is_grad_enabled()):
            maps = self.encoder.feature_maps(images)[-self.levels :]
        named = OrderedDict((str(level), m) for level, m in enumerate(maps))
        pyramid: dict[str, Tensor] = self.fpn(named)
        return pyramid


def _c4(encoder: Encoder, config: DetectorConfig) -> Parts:
    """Proposals and regions on stage 4; stage 5 reads the regions."""
    stage5 = getattr(encoder.network, "layer4", None)
    if not isinstance(stage5, nn.Module) or not hasattr(encoder.network, "layer3"):
        raise ConfigError(
            f"head: c4 needs a ResNet, whose layer4 reads the regions; {encoder.config.name!r} has "
            "none. Use head: fpn"
        )
    width, stride = _shapes(encoder)[-2][1], strides(encoder)[-2]
    sizes = (tuple(scale * stride for scale in config.anchor_scales),)
    anchors = AnchorGenerator(sizes, (config.anchor_ratios,))
    # Twice the bins, for stage 5 halves them.
    pool = _RegionPool(["0"], 2 * config.region_size, stride, sampling_ratio=config.bin_samples)
    head = _Stage5(stage5, encoder.dim)
    return _Stage4(encoder, width, config), anchors, pool, head, encoder.dim


class _Stage4(nn.Module):
    def __init__(self, encoder: Encoder, width: int, config: DetectorConfig) -> None:
        super().__init__()
        self.encoder, self.trainable, self.out_channels = encoder, config.trainable, width

    def forward(self, images: Tensor) -> Tensor:
        with torch.set_grad_enabled(self.trainable and torch.is_grad_enabled()):
            network: Any = self.encoder.network
            maps: list[Tensor] = network.forward_intermediates(
                self.encoder.normalized(images),
                indices=[3],  # of stem, layer1, layer2, layer3, layer4
                stop_early=True,
                intermediates_only=True,
            )
        return maps[0]


class _Stage5(nn.Module):
    """N x C x 14 x 14 -> N x D. The norm after stage 5 is MoCo's (section 4.2 and its code)."""

    def __init__(self, stage5: nn.Module, width: int) -> None:
        super().__init__()
        self.stage5, self.norm = stage5, nn.BatchNorm2d(width)

    def forward(self, regions: Tensor) -> Tensor:
        read: Tensor = self.norm(self.stage5(regions))  # N x D x 7 x 7
        return read.mean(dim=(2, 3))


class _Padded(GeneralizedRCNNTransform):  # type: ignore[misc]
    """Images come in their final size, and the Encoder normalises: only padding is left to do.

    The padding is the colour that the encoder turns into zero.
    """

    def __init__(self, encoder: Encoder, divisor: int) -> None:
        super().__init__(min_size=1, max_size=1, image_mean=[], image_std=[])
        self.colour, self.divisor = encoder.neutral, divisor

    def forward(
        self, images: list[Tensor], targets: list[dict[str, Tensor]] | None = None
    ) -> tuple[ImageList, list[dict[str, Tensor]] | None]:
        sizes = [(image.shape[-2], image.shape[-1]) for image in images]
        height, width = (
            -(-max(side) // self.divisor) * self.divisor for side in zip(*sizes, strict=True)
        )
        colour = self.colour.to(images[0])
        batch = colour.expand(len(images), 3, height, width).clone()
        for row, image, (h, w) in zip(batch, images, sizes, strict=True):
            row[:, :h, :w] = image
        return ImageList(batch, sizes), targets
