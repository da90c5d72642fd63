"""The encoder: a timm network, its normalisation of the input, its features.

Everything upstream and downstream hands out RGB in [0, 1]; mean and standard deviation are buffers
here, so they travel with the exported encoder and no evaluation can forget them. With ``input:
lab_split`` the network is two of half the width, which see the lightness and the colours of Lab.
"""

from typing import Any

import timm
import torch
from timm.models.resnet import ResNet
from torch import Tensor, nn

from sslbench import distributed
from sslbench.errors import ConfigError
from sslbench.nn.config import EncoderConfig
from sslbench.nn.lab import CENTRE, HALF_RANGE, lab_to_rgb, rgb_to_lab
from sslbench.nn.shared import shared
from sslbench.nn.strided import skip_before
from sslbench.nn.towers import Towers

RESNET_CHANNELS = (64, 128, 256, 512)  # of its stages, where the options name none
GROUPS, LEAST_CHANNELS = 32, 8  # of a group norm at most, and of a group at least


class Encoder(nn.Module):
    """``forward``: N x 3 x H x W in [0, 1] -> N x ``dim``.

    In training, ``bn_splits`` chunks of the batch go through one after the other, so that each has
    its own batch statistics as on as many devices.
    """

    mean: Tensor
    std: Tensor
    network: Any  # of timm, whose types are not exact

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.network = _towers(config) if self.is_split else _network(config, config.options)
        skip_before(self.network)
        mean, std = (CENTRE, HALF_RANGE) if self.is_split else (config.mean, config.std)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self.dim: int = self.network.num_features

    def forward(self, images: Tensor) -> Tensor:
        splits = self.config.bn_splits if self.training else 1
        if len(images) % splits:
            raise ConfigError(
                f"encoder.bn_splits = {splits} does not divide a batch of {len(images)} images"
            )
        if self.training and distributed.shares_batches():
            return shared(self._in_chunks, self.network, images, splits)
        return self._in_chunks(images, splits)

    def _in_chunks(self, images: Tensor, splits: int) -> Tensor:
        if splits == 1:
            return self._features(images)
        return torch.cat([self._features(chunk) for chunk in images.chunk(splits)])

    def towers(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The halves of ``forward``, N x ``dim`` / 2 each: of L, and of a and b.

        Raises ConfigError if the encoder is not split.
        """
        if not self.is_split:
            raise ConfigError(
                f"encoder.input = {self.config.input} has no towers: set encoder.input: lab_split"
            )
        lightness, colour = self(images).chunk(2, 1)
        return lightness, colour

    @property
    def is_split(self) -> bool:
        return self.config.input == "lab_split"

    @property
    def neutral(self) -> Tensor:
        """1 x 3 x 1 x 1: the RGB colour that ``normalized`` turns into zeros."""
        return lab_to_rgb(self.mean) if self.is_split else self.mean

    def _features(self, images: Tensor) -> Tensor:
        features: Tensor = self.network(self.normalized(images))
        return features

    def normalized(self, images: Tensor) -> Tensor:
        seen = rgb_to_lab(images) if self.is_split else images
        return (seen - self.mean) / self.std

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """The last map at every stride, finest first: N x C_i x H_i x W_i each."""
        maps = self.network.forward_intermediates(self.normalized(images), intermediates_only=True)
        by_size = {tuple(m.shape[-2:]): m for m in maps}  # a later map of one size replaces it
        return list(by_size.values())


def _network(config: EncoderConfig, given: dict[str, Any]) -> Any:
    """timm's network of that name, with ``given`` as its options."""
    options: dict[str, Any] = {
        key: tuple(v) if isinstance(v, list) else v for key, v in given.items()
    }
    if config.norm == "group":
        options["norm_layer"] = _group_norm
    try:
        network = timm.create_model(config.name, num_classes=0, **options)
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise ConfigError(f"encoder {config.name!r} cannot be built by timm: {error}") from error
    if config.stem == "small":
        _small_stem(network, config)
    return network


def _towers(config: EncoderConfig) -> Towers:
    """A network for L and one for a and b, with half of the channels of every stage.

    The stem keeps its channels, as in the released code of CMC.
    """
    channels = config.options.get("channels", RESNET_CHANNELS)
    if any(width % 2 for width in channels):
        raise ConfigError(
            f"encoder.options.channels = {list(channels)}: lab_split gives each tower half of "
            f"them. Nearest that works: {[width + width % 2 for width in channels]}"
        )
    halved = {**config.options, "channels": [width // 2 for width in channels]}
    needed = "encoder.input: lab_split halves a ResNet's channels: use resnet18 or resnet50"
    try:
        lightness, colour = (_network(config, {**halved, "in_chans": seen}) for seen in (1, 2))
    except ConfigError as error:
        raise ConfigError(f"{error}. {needed}") from error
    if not isinstance(lightness, ResNet):  # of another, channels mean something else
        raise ConfigError(f"encoder {config.name!r} is a {type(lightness).__name__}. {needed}")
    return Towers(lightness, colour)


def _group_norm(channels: int, **options: Any) -> nn.Module:
    """At least 8 channels in a group: one of a 1x1 map's by itself would always become zero."""
    del options  # timm hands on batch norm's own settings
    most = min(GROUPS, max(1, channels // LEAST_CHANNELS))
    return nn.GroupNorm(max(g for g in range(1, most + 1) if channels % g == 0), channels)


def _small_stem(network: nn.Module, config: EncoderConfig) -> None:
    """A 3x3 convolution and no pooling, for images far below 224 pixels (SimCLR, appendix B.9)."""
    first, pool = getattr(network, "conv1", None), getattr(network, "maxpool", None)
    if not isinstance(first, nn.Conv2d) or pool is None:
        raise ConfigError(
            f"encoder.stem: 'small' needs a ResNet with conv1 and maxpool, which "
            f"{config.name!r} has not. Use stem: imagenet"
        )
    stem = nn.Conv2d(first.in_channels, first.out_channels, 3, config.stem_stride, 1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    network.conv1 = stem
    network.maxpool = nn.Identity()
