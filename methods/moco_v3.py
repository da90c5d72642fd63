"""MoCo v3: momentum contrast within the batch, with a predictor and no queue.

Chen, Xie and He, "An Empirical Study of Training Self-Supervised Vision Transformers", ICCV 2021,
arXiv:2104.02057, section 3. The defaults are those for a ResNet-50; the heads for vision
transformers are a variant in moco_v3.yaml.
"""

import torch
from pydantic import Field
from torch import Tensor

from sslbench.api import (
    Batch,
    Context,
    DataInfo,
    LossTerms,
    Method,
    Needs,
    Settings,
    register_method,
)
from sslbench.nn import (
    Encoder,
    MomentumCopy,
    batch_info_nce,
    cosine_momentum,
    mlp,
    scaling,
    unit,
)


class MoCoV3Config(Settings):
    """Hyperparameters; section 3 of the paper, and the authors' code."""

    dim: int = Field(256, ge=1)  # width of an embedding
    hidden_width: int = Field(2, ge=1)  # of both heads, in features; 4,096 for a ResNet-50
    projector_layers: int = Field(2, ge=1)  # 3 for a vision transformer
    predictor_norm: bool = (
        False  # whether a batch norm ends the predictor, as it ends the projector
    )
    # Of the key encoder at the start; it is 1 at the end. 0.996 for 1000 epochs.
    momentum: float = Field(0.99, ge=0, lt=1)
    temperature: float = Field(1.0, gt=0)  # 0.2 for a vision transformer


@register_method("moco_v3")
class MoCoV3(Method):
    """Each view's query against its key from the other view and the keys of the whole batch."""

    Config = MoCoV3Config
    needs = Needs(views=2)
    version = 1

    def __init__(self, encoder: Encoder, config: MoCoV3Config, data: DataInfo) -> None:
        super().__init__(encoder, config, data)
        hidden = config.hidden_width * encoder.dim
        # Paper: no word of biases and of the last norm's scale; code: has none of them.
        self.projector = mlp(
            *[encoder.dim, *[hidden] * (config.projector_layers - 1), config.dim],
            batch_norm=True,
            last_norm=True,
            last_affine=False,
        )
        self.predictor = mlp(
            *[config.dim, hidden, config.dim],
            batch_norm=True,
            last_norm=config.predictor_norm,
            last_affine=False,
            last_bias=False,
        )
        self.key_encoder = MomentumCopy(self.encoder, self.projector)

    @classmethod
    def scaled(cls, config: MoCoV3Config, data: DataInfo) -> MoCoV3Config:
        reason = "MoCo v3's negatives are the other images of the batch"
        scaling.check_batch(data.batch_size, reason)
        return config

    def loss(self, batch: Batch, context: Context) -> LossTerms:
        one_view, other_view = batch.views[:2]
        one, other = self._query(one_view), self._query(other_view)  # N x D each

        with torch.no_grad():
            momentum = cosine_momentum(self.config.momentum, context.progress)
            self.key_encoder.update(self.encoder, self.projector, momentum=momentum)
            one_key = unit(self.key_encoder(one_view))  # N x D
            other_key = unit(self.key_encoder(other_view))

        return {"info_nce": self._contrast(one, other_key) + self._contrast(other, one_key)}

    def _query(self, view: Tensor) -> Tensor:
        return unit(self.predictor(self.projector(self.encoder(view))))

    def _contrast(self, query: Tensor, key: Tensor) -> Tensor:
        """InfoNCE times twice the temperature, as in algorithm 1: N x D unit rows each."""
        temperature = self.config.temperature
        scaled: Tensor = 2 * temperature * batch_info_nce(query, key, temperature)
        return scaled
