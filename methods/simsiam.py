"""SimSiam: a siamese network without negatives and without a momentum encoder.

Chen and He, "Exploring Simple Siamese Representation Learning", CVPR 2021, arXiv:2011.10566.
Section 3 has the method, section 4.2 the predictor's constant learning rate.
"""

from pydantic import Field

from sslbench.api import (
    Batch,
    Context,
    DataInfo,
    LossTerms,
    Method,
    Needs,
    ParamGroup,
    Settings,
    register_method,
)
from sslbench.nn import Encoder, mlp, negative_cosine, scaling


class SimSiamConfig(Settings):
    """Hyperparameters; section 3 of the paper."""

    # Of the projector's layers, and so of an embedding, in features; 2,048 for a ResNet-50.
    width: int = Field(1, ge=1)
    projector_layers: int = Field(3, ge=1)  # 2 on CIFAR-10 (appendix D)
    bottleneck: int = Field(4, ge=1)  # how many times narrower the predictor's hidden layer is


@register_method("simsiam")
class SimSiam(Method):
    """Each view predicts the embedding of the other, which takes no gradient."""

    Config = SimSiamConfig
    needs = Needs(views=2)
    version = 1

    def __init__(self, encoder: Encoder, config: SimSiamConfig, data: DataInfo) -> None:
        super().__init__(encoder, config, data)
        width = config.width * encoder.dim
        widths = [encoder.dim, *[width] * config.projector_layers]
        self.projector = mlp(*widths, batch_norm=True, last_norm=True, last_affine=False)
        self.predictor = mlp(width, width // config.bottleneck, width, batch_norm=True)

    @classmethod
    def scaled(cls, config: SimSiamConfig, data: DataInfo) -> SimSiamConfig:
        scaling.check_batch(data.batch_size, "the batch norm of SimSiam's heads compares images")
        return config

    def param_groups(self) -> list[ParamGroup]:
        trained = [*self.encoder.parameters(), *self.projector.parameters()]
        return [
            ParamGroup([p for p in trained if p.requires_grad], name="encoder and projector"),
            # The predictor shall follow the embeddings as they are now (section 4.2).
            ParamGroup([*self.predictor.parameters()], constant_lr=True, name="predictor"),
        ]

    def loss(self, batch: Batch, context: Context) -> LossTerms:
        # One pass for each view: batch norm sees one view at a time, as in the authors' code.
        one, other = (self.projector(self.encoder(view)) for view in batch.views[:2])  # N x D each
        first = negative_cosine(self.predictor(one), other)
        second = negative_cosine(self.predictor(other), one)
        return {"negative_cosine": (first + second) / 2}
