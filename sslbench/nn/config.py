"""The encoder as settings. Imports no torch; encoder.py builds it."""

from typing import Any, Literal

from pydantic import Field

from sslbench.config import Settings


class EncoderConfig(Settings):
    """Which network, and how it sees its input."""

    name: str = "resnet50"  # any timm model
    options: dict[str, Any] = {}  # to timm, such as {channels: [16, 32, 64, 128]}
    stem: Literal["imagenet", "small"] = "imagenet"  # small: a 3x3 convolution, no pooling
    stem_stride: Literal[1, 2] = 1  # of the small stem
    input: Literal["rgb", "lab_split"] = "rgb"  # lab_split: two half-width towers, L and ab
    norm: Literal["batch", "group"] = "batch"
    bn_splits: int = Field(1, ge=1)  # the batch in so many chunks, each with its own statistics
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # of rgb; lab_split has its own
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
