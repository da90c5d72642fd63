"""MoCo: Momentum Contrast.

He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020,
arXiv:1911.05722. The defaults are those of MoCo v2 (Chen et al., arXiv:2003.04297); v1 is a
variant in moco.yaml.
"""

from typing import Annotated

import torch
from pydantic import Field

from sslbench.api import (
    Auto,
    Batch,
    Context,
    DataInfo,
    LossTerms,
    Method,
    Needs,
    Settings,
    register_method,
    settled,
)
from sslbench.nn import Encoder, FeatureQueue, MomentumCopy, info_nce, mlp, scaling, shuffled, unit


class MoCoConfig(Settings):
    """Hyperparameters; "auto" is scaled to the data (``sslbench.nn.scaling``)."""

    dim: int = Field(128, ge=1)  # width of an embedding
    hidden_layers: int = Field(1, ge=0)  # of the head, each as wide as a feature; v1 has none
    queue_size: Annotated[int, Field(ge=1)] | Auto = "auto"  # keys of earlier batches
    momentum: Annotated[float, Field(ge=0, lt=1)] | Auto = "auto"  # of the key encoder
    temperature: float = Field(0.2, gt=0)


@register_method("moco")
class MoCo(Method):
    """One query view against its key and a queue of earlier keys."""

    Config = MoCoConfig
    needs = Needs(views=2)
    version = 1

    def __init__(self, encoder: Encoder, config: MoCoConfig, data: DataInfo) -> None:
        super().__init__(encoder, config, data)
        self.head = mlp(*[encoder.dim] * (1 + config.hidden_layers), config.dim)
        self.key_encoder = MomentumCopy(self.encoder, self.head)
        self.queue = FeatureQueue(settled(config.queue_size), config.dim)

    @classmethod
    def scaled(cls, config: MoCoConfig, data: DataInfo) -> MoCoConfig:
        queue = scaling.queue_size(config.queue_size, 65_536, data.images, data.batch_size)
        momentum = scaling.key_momentum(config.momentum, 0.999, data.steps)
        return config.model_copy(update={"queue_size": queue, "momentum": momentum})

    def loss(self, batch: Batch, context: Context) -> LossTerms:
        query_view, key_view = batch.views[:2]
        query = unit(self.head(self.encoder(query_view)))  # N x D

        with torch.no_grad():
            momentum = settled(self.config.momentum)
            self.key_encoder.update(self.encoder, self.head, momentum=momentum)
            # Shuffled, or batch statistics would tell a query which key is its own (section 3.3).
            order = context.permutation(len(key_view))
            key = unit(shuffled(self.key_encoder, key_view, order))  # N x D

        loss = info_nce(query, key, self.queue.features, self.config.temperature)
        self.queue.push(key, batch.index)
        return {"info_nce": loss}
