"""The encoder: a timm network, its normalisation of the input, its features.

Everything upstream and downstream hands out RGB in [0, 1]; mean and standard deviation are buffers
here, so they travel with the exported encoder and no evaluation can forget them.
"""

from typing import Any

import timm
import torch
from torch import Tensor, nn

from sslbench.errors import ConfigError
from sslbench.nn.config import EncoderConfig


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
        options: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in config.options.items()
        }
        if config.norm == "group":
            options["norm_layer"] = _group_norm
        try:
            self.network = timm.create_model(config.name, num_classes=0, **options)
        except (RuntimeError, TypeError, ValueError, AssertionError) as error:
            raise ConfigError(
                f"encoder {config.name!r} cannot be built by timm: {error}"
            ) from error
        if config.stem == "small":
            _small_stem(self.network, config)
        self.register_buffer("mean", torch.tensor(config.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(config.std).view(1, 3, 1, 1))
        self.dim: int = self.network.num_features

    def forward(self, images: Tensor) -> Tensor:
        splits = self.config.bn_splits
        if self.training and splits > 1:
            if len(images) % splits:
                raise ConfigError(
                    f"encoder.bn_splits = {splits} does not divide a batch of {len(images)} images"
                )
            return torch.cat([self._features(chunk) for chunk in images.chunk(splits)])
        return self._features(images)

    def _features(self, images: Tensor) -> Tensor:
        features: Tensor = self.network(self.normalized(images))
        return features

    def normalized(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """The last map at every stride, finest first: N x C_i x H_i x W_i each."""
        maps = self.network.forward_intermediates(self.normalized(images), intermediates_only=True)
        by_size = {tuple(m.shape[-2:]): m for m in maps}  # a later map of one size replaces it
        return list(by_size.values())


def _group_norm(channels: int, **options: Any) -> nn.Module:
    del options  # timm hands on batch norm's own settings
    groups = 32 if channels % 32 == 0 else min(channels, 8)
    return nn.GroupNorm(groups, channels)


def _small_stem(network: nn.Module, config: EncoderConfig) -> None:
    """A 3x3 convolution and no pooling, for images far below 224 pixels (SimCLR, appendix B.9)."""
    first, pool = getattr(network, "conv1", None), getattr(network, "maxpool", None)
    if not isinstance(first, nn.Conv2d) or pool is None:
        raise ConfigError(
            f"encoder.stem: 'small' needs a ResNet with conv1 and maxpool, which "
            f"{config.name!r} has not. Use stem: imagenet"
        )
    stem = nn.Conv2d(3, first.out_channels, 3, config.stem_stride, 1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    network.conv1 = stem
    network.maxpool = nn.Identity()
