"""VICReg: invariance of two views, variance of every dimension, no covariance between them.

Bardes, Ponce and LeCun, "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised
Learning", ICLR 2022, arXiv:2105.04906, section 4. No negatives: the variance term keeps the
embeddings from collapsing.
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
    Settings,
    register_method,
)
from sslbench.nn import Encoder, mlp, scaling, wide

_EPSILON = 1e-4  # beside a variance, or its root would have no slope at 0
_LEAST_DEVIATION = 1.0  # of a dimension; the paper's gamma


class VICRegConfig(Settings):
    """Hyperparameters; section 4.2 of the paper."""

    width: int = Field(4, ge=1)  # of the projector's three layers, in features; 8,192 in the paper
    invariance: float = Field(25.0, ge=0)  # weight of each term
    variance: float = Field(25.0, ge=0)
    covariance: float = Field(1.0, ge=0)


@register_method("vicreg")
class VICReg(Method):
    """Views agree, while every dimension keeps its spread and says what no other says."""

    Config = VICRegConfig
    needs = Needs(views=2)
    version = 1

    def __init__(self, encoder: Encoder, config: VICRegConfig, data: DataInfo) -> None:
        super().__init__(encoder, config, data)
        widths = [config.width * encoder.dim] * 3
        self.projector = mlp(encoder.dim, *widths, batch_norm=True, last_bias=False)

    @classmethod
    def scaled(cls, config: VICRegConfig, data: DataInfo) -> VICRegConfig:
        scaling.check_batch(data.batch_size, "VICReg takes variances over the images of the batch")
        return config

    def loss(self, batch: Batch, context: Context) -> LossTerms:
        # One pass for each view, so that each has batch statistics of its own, as in the code.
        one, other = (self.projector(self.encoder(view)) for view in batch.views[:2])  # N x D
        invariance, variance, covariance = vicreg_terms(one, other)
        return {
            "invariance": self.config.invariance * invariance,
            "variance": self.config.variance * variance,
            "covariance": self.config.covariance * covariance,
        }


def vicreg_terms(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Invariance between two views; variance and covariance within each.

    one, other: N x D, of any length. Raises ConfigError for fewer than two images.
    """
    if len(one) < 2:
        raise ConfigError(
            f"vicreg_terms of {len(one)} images: a variance takes a batch of at least 2"
        )
    with torch.autocast(one.device.type, enabled=False):
        one, other = wide(one), wide(other)
        # Paper: squared distances, as sums over the dimensions; code: as means.
        invariance = (one - other).square().mean()
        # Paper: the sum of both views (variant paper-variance); code: their mean.
        variance = (_lack_of_deviation(one) + _lack_of_deviation(other)) / 2
        covariance = _covariance(one) + _covariance(other)
    return invariance, variance, covariance


def _lack_of_deviation(embeddings: Tensor) -> Tensor:
    """N x D -> by how much a dimension's standard deviation falls short, on average."""
    deviation = (embeddings.var(0) + _EPSILON).sqrt()  # D
    return (_LEAST_DEVIATION - deviation).relu().mean()


def _covariance(embeddings: Tensor) -> Tensor:
    """N x D -> the squared covariances of different dimensions, summed over pairs, over D."""
    count, dim = embeddings.shape
    centred = embeddings - embeddings.mean(0)
    covariance = centred.T @ centred / (count - 1)  # D x D
    return covariance.square().fill_diagonal_(0).sum() / dim
