"""InstDisc: every image is a class of its own, told apart by a memory bank.

Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", CVPR 2018,
arXiv:1805.01978, section 3. The full softmax of section 3.1 and InfoNCE over the same draws are
variants in instdisc.yaml.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from sslbench.api import (
    Auto,
    Batch,
    ConfigError,
    Context,
    DataInfo,
    LossTerms,
    Method,
    Needs,
    Settings,
    register_method,
    settled,
)
from sslbench.nn import (
    Encoder,
    MemoryBank,
    Normaliser,
    bank_info_nce,
    bank_nce,
    mlp,
    scaling,
    unit,
)


class InstDiscConfig(Settings):
    """Hyperparameters; "auto" is scaled to the data (``sslbench.nn.scaling``)."""

    dim: int = Field(128, ge=1)  # width of an embedding
    loss: Literal["nce", "info_nce", "softmax"] = "nce"  # softmax: over the whole bank
    negatives: Annotated[int, Field(ge=1)] | Auto = "auto"  # per image; softmax: all others
    bank_momentum: float = Field(0.5, ge=0, lt=1)  # of an image's row in the bank
    temperature: float = Field(0.07, gt=0)
    normaliser: scaling.Estimate | Auto = "auto"  # the batch that NCE's Z is estimated from


@register_method("instdisc")
class InstDisc(Method):
    """One view against its image's earlier embedding and those of other images."""

    Config = InstDiscConfig
    needs = Needs(views=1)
    version = 1

    def __init__(self, encoder: Encoder, config: InstDiscConfig, data: DataInfo) -> None:
        super().__init__(encoder, config, data)
        self.head = mlp(encoder.dim, config.dim)
        self.bank = MemoryBank(data.images, config.dim)
        self.normaliser = Normaliser(frozen=settled(config.normaliser) == "first")

    @classmethod
    def scaled(cls, config: InstDiscConfig, data: DataInfo) -> InstDiscConfig:
        if config.loss == "softmax":
            negatives = data.images - 1
            if config.negatives not in ("auto", negatives):
                raise ConfigError(
                    f"params.negatives = {config.negatives}: loss: softmax compares an image with "
                    f"all {negatives} others. Leave it at auto, or take loss: info_nce"
                )
        else:
            negatives = scaling.bank_negatives(config.negatives, 4096, data.images)
        normaliser = scaling.normaliser(config.normaliser, data.images, data.batch_size)
        return config.model_copy(update={"negatives": negatives, "normaliser": normaliser})

    def loss(self, batch: Batch, context: Context) -> LossTerms:
        embedding = unit(self.head(self.encoder(batch.views[0])))  # N x D
        loss = self._discrimination(embedding, batch.index, context)
        # Paper: a proximal term holds an embedding near its last; code: the bank follows slowly.
        self.bank.update(batch.index, embedding, self.config.bank_momentum)
        return {self.config.loss: loss}

    def _discrimination(self, embedding: Tensor, index: Tensor, context: Context) -> Tensor:
        config, bank = self.config, self.bank
        if config.loss == "softmax":
            every = bank.logits(embedding, None, config.temperature)  # N x images
            return cross_entropy(every, index)
        # The noise is uniform over all images (section 3.2), so a draw may be the positive itself.
        drawn = context.integers(len(bank), len(index), settled(config.negatives))
        columns = torch.cat([index[:, None], drawn], 1)  # N x (1 + m)
        logits = bank.logits(embedding, columns, config.temperature)
        if config.loss == "info_nce":
            return bank_info_nce(logits)
        return bank_nce(logits, self.normaliser(logits, len(bank)), len(bank))
