"""SimCLR: contrast of two views within the batch.

Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020,
arXiv:2002.05709. Version 2's deeper head (arXiv:2006.10029) and the decoupled loss
(arXiv:2110.06848) are variants in simclr.yaml.
"""

from pydantic import Field

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
from sslbench.nn import Encoder, embed_views, mlp, nt_xent, scaling, unit


class SimCLRConfig(Settings):
    """Hyperparameters; section 3 of the paper."""

    dim: int = Field(128, ge=1)  # width of an embedding
    hidden_layers: int = Field(1, ge=0)  # of the head, each as wide as a feature
    temperature: float = Field(0.1, gt=0)
    decoupled: bool = False  # the positive is no part of the denominator


@register_method("simclr")
class SimCLR(Method):
    """Each view's negatives are both views of all other images in the batch."""

    Config = SimCLRConfig
    needs = Needs(views=2)
    version = 2

    def __init__(self, encoder: Encoder, config: SimCLRConfig, data: DataInfo) -> None:
        super().__init__(encoder, config, data)
        # Paper: no word of batch norm in the head; code: one behind each of its layers.
        widths = [encoder.dim] * (1 + config.hidden_layers)
        self.head = mlp(*widths, config.dim, batch_norm=True, last_norm=True)

    @classmethod
    def scaled(cls, config: SimCLRConfig, data: DataInfo) -> SimCLRConfig:
        scaling.check_batch(data.batch_size, "SimCLR's negatives are the other images of the batch")
        return config

    def loss(self, batch: Batch, context: Context) -> LossTerms:
        # Together, so that they share batch statistics as in the released code.
        one, other = embed_views(batch.views[:2], self.encoder, self.head, unit)  # N x D each
        return {"nt_xent": nt_xent(one, other, self.config.temperature, self.config.decoupled)}
