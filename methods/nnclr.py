"""NNCLR: nearest neighbours of earlier batches as positives.

Dwibedi et al., "With a Little Help from My Friends: Nearest-Neighbor Contrastive Learning of Visual
Representations", ICCV 2021, arXiv:2104.14548, section 3.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

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
from sslbench.nn import Encoder, FeatureQueue, batch_info_nce, mlp, pairs, scaling, unit


class NNCLRConfig(Settings):
    """Hyperparameters; "auto" is scaled to the data (``sslbench.nn.scaling``)."""

    dim: int = Field(256, ge=1)  # width of an embedding
    projector_width: int = Field(1, ge=1)  # of its two hidden layers, in features
    predictor_width: int = Field(2, ge=1)  # of its hidden layer, in features; 4,096 for a ResNet-50
    # Embeddings of earlier batches among which a nearest neighbour is looked for.
    queue_size: Annotated[int, Field(ge=1)] | Auto = "auto"
    temperature: float = Field(0.1, gt=0)


@register_method("nnclr")
class NNCLR(Method):
    """The nearest neighbour of one view picks the prediction of the other out of the batch's."""

    Config = NNCLRConfig
    needs = Needs(views=2)
    version = 1

    def __init__(self, encoder: Encoder, config: NNCLRConfig, data: DataInfo) -> None:
        super().__init__(encoder, config, data)
        hidden = config.projector_width * encoder.dim
        widths = [encoder.dim, hidden, hidden, config.dim]
        self.projector = mlp(*widths, batch_norm=True, last_norm=True)
        hidden = config.predictor_width * encoder.dim
        self.predictor = mlp(config.dim, hidden, config.dim, batch_norm=True)
        self.queue = FeatureQueue(settled(config.queue_size), config.dim)

    @classmethod
    def scaled(cls, config: NNCLRConfig, data: DataInfo) -> NNCLRConfig:
        reason = "NNCLR's negatives are the other images of the batch"
        scaling.check_batch(data.batch_size, reason)
        queue = scaling.queue_size(config.queue_size, 98_304, data.images, data.batch_size)
        return config.model_copy(update={"queue_size": queue})

    def loss(self, batch: Batch, context: Context) -> LossTerms:
        # One pass for each view, as in the paper's pseudo-code.
        one, other = (self.projector(self.encoder(view)) for view in batch.views[:2])  # N x D each
        one_prediction, other_prediction = self.predictor(one), self.predictor(other)
        of_one, of_other = self._neighbours(one, other)  # N x D each
        temperature = self.config.temperature
        first = batch_info_nce(of_one, unit(other_prediction), temperature)
        second = batch_info_nce(of_other, unit(one_prediction), temperature)
        # Now only: pushed before, every embedding would be its own nearest neighbour.
        self.queue.push(unit(one), batch.index)
        return {"info_nce": (first + second) / 2}

    def _neighbours(self, *embeddings: Tensor) -> tuple[Tensor, ...]:
        """Their nearest neighbours in the queue, which take no gradient: N x D each."""
        # Of both views in one search, for it prepares the queue anew each time.
        places = pairs.nearest(torch.cat(embeddings), self.queue.features)
        return self.queue.features[places].chunk(len(embeddings))
