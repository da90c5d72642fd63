"""InfoNCE end to end: the plain baseline of the survey, one encoder and the batch's other images.

van den Oord et al., "Representation Learning with Contrastive Predictive Coding", arXiv:1807.03748,
equation 4, on two views of an image as in Jaiswal et al., "A Survey on Contrastive Self-supervised
Learning", Technologies 2021, arXiv:2011.00362. The survey's NCE (one negative) and the decoupled
loss (Yeh et al., arXiv:2110.06848) are variants in info_nce.yaml.
"""

from typing import Literal

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
from sslbench.nn import Encoder, batch_info_nce, embed_views, info_nce, mlp, scaling, unit


class InfoNCEConfig(Settings):
    """Hyperparameters; head and temperature are SimCLR's, since the survey names none."""

    dim: int = Field(128, ge=1)  # width of an embedding
    hidden_layers: int = Field(1, ge=0)  # of the head, each as wide as a feature
    temperature: float = Field(0.1, gt=0)
    negatives: Literal["batch", "one"] = "batch"  # all other images of the batch, or one drawn
    decoupled: bool = False  # the positive is no part of the denominator


@register_method("info_nce")
class InfoNCE(Method):
    """Each view against its image's other view, and the other images in that other view."""

    Config = InfoNCEConfig
    needs = Needs(views=2)
    version = 2

    def __init__(self, encoder: Encoder, config: InfoNCEConfig, data: DataInfo) -> None:
        super().__init__(encoder, config, data)
        widths = [encoder.dim] * (1 + config.hidden_layers)
        self.head = mlp(*widths, config.dim, batch_norm=True, last_norm=True)

    @classmethod
    def scaled(cls, config: InfoNCEConfig, data: DataInfo) -> InfoNCEConfig:
        scaling.check_batch(
            data.batch_size, "the negatives of InfoNCE are the other images of the batch"
        )
        if config.decoupled and config.negatives == "one":
            raise ConfigError(
                "params.decoupled = true with params.negatives = one: without the positive a "
                "denominator of one term is no choice between any. Use negatives: batch, or "
                "decoupled: false"
            )
        return config

    def loss(self, batch: Batch, context: Context) -> LossTerms:
        # Both views together, as in SimCLR, which adds the other images in the query's own view.
        one, other = embed_views(batch.views[:2], self.encoder, self.head, unit)  # N x D each
        directions = [self._direction(one, other, context), self._direction(other, one, context)]
        return {"info_nce": torch.stack(directions).mean()}

    def _direction(self, query: Tensor, key: Tensor, context: Context) -> Tensor:
        """One view against the other. query, key: N x D unit rows."""
        config, count = self.config, len(query)
        if config.negatives == "batch":
            return batch_info_nce(query, key, config.temperature, config.decoupled)
        if count < 2:
            raise ConfigError(f"NCE of {count} images has no negative: use a batch of at least 2")
        itself = torch.arange(count, device=query.device)
        # So many rows further on, around the end: any image but the query's own, all alike.
        further = 1 + context.integers(count - 1, count)
        drawn = (itself + further) % count  # N
        keep = drawn[:, None] == itself  # N x N
        return info_nce(query, key, key, config.temperature, keep)
