"""BYOL: Bootstrap Your Own Latent.

Grill et al., "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning", NeurIPS 2020,
arXiv:2006.07733. Section 3.1 has the loss, section 3.3 the heads and the momentum.
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
from sslbench.nn import Encoder, MomentumCopy, cosine_momentum, mlp, negative_cosine, scaling


class BYOLConfig(Settings):
    """Hyperparameters; "auto" is scaled to the data (``sslbench.nn.scaling``)."""

    dim: int = Field(256, ge=1)  # width of an embedding
    hidden_width: int = Field(2, ge=1)  # of both heads, in features; 4,096 for a ResNet-50
    # Of the momentum encoder at the start; it is 1 at the end. Paper: 0.996 for 1000 epochs, 0.99
    # for the 94,000 steps of 300 epochs.
    momentum: Annotated[float, Field(ge=0, lt=1)] | Auto = "auto"


@register_method("byol")
class BYOL(Method):
    """Each view predicts what a momentum encoder makes of the other; there are no negatives."""

    Config = BYOLConfig
    needs = Needs(views=2)
    version = 1

    def __init__(self, encoder: Encoder, config: BYOLConfig, data: DataInfo) -> None:
        super().__init__(encoder, config, data)
        hidden = config.hidden_width * encoder.dim
        # Paper: no word of biases; code: none in the last layers.
        self.projector = mlp(encoder.dim, hidden, config.dim, batch_norm=True, last_bias=False)
        self.predictor = mlp(config.dim, hidden, config.dim, batch_norm=True, last_bias=False)
        self.momentum_encoder = MomentumCopy(self.encoder, self.projector)

    @classmethod
    def scaled(cls, config: BYOLConfig, data: DataInfo) -> BYOLConfig:
        scaling.check_batch(data.batch_size, "the batch norm of BYOL's heads compares images")
        momentum = scaling.key_momentum(config.momentum, 0.996, data.steps)
        return config.model_copy(update={"momentum": momentum})

    def loss(self, batch: Batch, context: Context) -> LossTerms:
        # One pass for each view, in both encoders: batch norm sees one view at a time, as in the
        # authors' code, so what a prediction is normalised by has nothing of its target.
        one_view, other_view = batch.views[:2]
        one, other = self._prediction(one_view), self._prediction(other_view)  # N x D each

        with torch.no_grad():
            one_target = self.momentum_encoder(one_view)  # N x D
            other_target = self.momentum_encoder(other_view)

        distances = _distance(one, other_target) + _distance(other, one_target)
        return {"squared_distance": distances}

    def _prediction(self, view: Tensor) -> Tensor:
        predicted: Tensor = self.predictor(self.projector(self.encoder(view)))
        return predicted

    def on_step_end(self, context: Context) -> None:
        # After the optimiser, for the momentum encoder follows the new weights (algorithm 1).
        momentum = cosine_momentum(settled(self.config.momentum), context.progress)
        self.momentum_encoder.update(self.encoder, self.projector, momentum=momentum)


def _distance(prediction: Tensor, target: Tensor) -> Tensor:
    """The mean squared distance at unit length, 2 - 2 cos."""
    return 2 + 2 * negative_cosine(prediction, target)
