"""Barlow Twins: the cross-correlation of two views is driven to the identity matrix.

Zbontar et al., "Barlow Twins: Self-Supervised Learning via Redundancy Reduction", ICML 2021,
arXiv:2103.03230; the loss is its equation 1. No negatives: what would collapse without them is kept
apart by decorrelating the dimensions.
"""

import torch
from pydantic import Field
from torch import Tensor

from sslbench.api import (
    Batch,
    ConfigError,
    Context,
    DataInfo,
    LossTerms,
    Method,
    Needs,
    ParamGroup,
    Settings,
    register_method,
)
from sslbench.nn import Encoder, mlp, scaling, wide

_EPSILON = 1e-5  # beside a variance, as in the authors' batch norm


class BarlowTwinsConfig(Settings):
    """Hyperparameters; section 2.2 of the paper."""

    width: int = Field(4, ge=1)  # of the projector's three layers, in features; 8,192 in the paper
    # Of the redundancy term. Paper: 0.005; code: 0.0051.
    redundancy: float = Field(0.0051, ge=0)


@register_method("barlow_twins")
class BarlowTwins(Method):
    """Each dimension agrees with itself in the other view, and with no other dimension."""

    Config = BarlowTwinsConfig
    needs = Needs(views=2)
    version = 1

    def __init__(self, encoder: Encoder, config: BarlowTwinsConfig, data: DataInfo) -> None:
        super().__init__(encoder, config, data)
        widths = [config.width * encoder.dim] * 3
        self.projector = mlp(encoder.dim, *widths, batch_norm=True, last_bias=False)

    @classmethod
    def scaled(cls, config: BarlowTwinsConfig, data: DataInfo) -> BarlowTwinsConfig:
        scaling.check_batch(data.batch_size, "Barlow Twins correlates over the images of the batch")
        return config

    def loss(self, batch: Batch, context: Context) -> LossTerms:
        # One pass for each view, so that each has batch statistics of its own, as in the code.
        one, other = (self.projector(self.encoder(view)) for view in batch.views[:2])  # N x D
        invariance, redundancy = barlow_terms(one, other)
        return {"invariance": invariance, "redundancy": self.config.redundancy * redundancy}

    def param_groups(self) -> list[ParamGroup]:
        """Biases and norms apart: the code gives them 0.0048 where weights have 0.2."""
        trainable = [p for p in self.parameters() if p.requires_grad]
        return [
            ParamGroup([p for p in trainable if p.ndim > 1], name="weights"),
            ParamGroup([p for p in trainable if p.ndim <= 1], lr_scale=0.024, name="biases"),
        ]


def barlow_terms(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """How far the views' cross-correlation is from the identity: on its diagonal, and beside it.

    one, other: N x D, of any length. A dimension that is constant over the batch correlates with
    nothing: it costs 1 on the diagonal. Raises ConfigError for fewer than two images.
    """
    count = len(one)
    if count < 2:
        raise ConfigError(
            f"barlow_terms of {count} images: a correlation takes a batch of at least 2"
        )
    with torch.autocast(one.device.type, enabled=False):
        correlation = _standardised(one).T @ _standardised(other) / count  # D x D
        invariance = (1 - correlation.diagonal()).square().sum()
        redundancy = correlation.square().fill_diagonal_(0).sum()
    return invariance, redundancy


def _standardised(embeddings: Tensor) -> Tensor:
    """N x D -> every dimension with mean 0 and variance 1 over the batch, in fp32 at least."""
    full = wide(embeddings)
    variance = full.var(0, correction=0)
    return (full - full.mean(0)) / (variance + _EPSILON).sqrt()
