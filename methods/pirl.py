"""PIRL: an image and a jigsaw of it have one embedding.

Misra and van der Maaten, "Self-Supervised Learning of Pretext-Invariant Representations", CVPR
2020, arXiv:1912.01991, section 2. PyContrast's softmax loss and a second view in place of the
jigsaw are variants in pirl.yaml.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

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

EPSILON = torch.finfo(torch.float32).eps  # Paper: none; code: this beside the noise


class PIRLConfig(Settings):
    """Hyperparameters; "auto" is scaled to the data (``sslbench.nn.scaling``)."""

    dim: int = Field(128, ge=1)  # width of an embedding, and of each patch's
    transform: Literal["jigsaw", "view"] = "jigsaw"  # of the image; view: augmented once more
    grid: int = Field(3, ge=2)  # patches along a side of the jigsaw, as in pretrain.views
    loss: Literal["nce", "info_nce"] = "nce"
    negatives: Annotated[int, Field(ge=1)] | Auto = "auto"  # draws per image and branch
    shared_draw: bool = False  # whether both branches compare with the same draws
    weight: float = Field(0.5, ge=0, le=1)  # of the transformed image's branch, the paper's lambda
    bank_momentum: float = Field(0.5, ge=0, lt=1)  # of an image's row in the bank
    temperature: float = Field(0.07, gt=0)
    normaliser: scaling.Estimate | Auto = "auto"  # the batch that NCE's Z is estimated from


@register_method("pirl")
class PIRL(Method):
    """The image and its transform, each against the image's earlier embedding and other images'."""

    Config = PIRLConfig
    needs = Needs(views=1, patches="jigsaw")
    version = 1

    def __init__(self, encoder: Encoder, config: PIRLConfig, data: DataInfo) -> None:
        super().__init__(encoder, config, data)
        self.head = mlp(encoder.dim, config.dim)
        if config.transform == "jigsaw":
            self.patch_head = mlp(encoder.dim, config.dim)
            self.jigsaw_head = mlp(config.grid**2 * config.dim, config.dim)
        self.bank = MemoryBank(data.images, config.dim)
        self.normaliser = Normaliser(frozen=settled(config.normaliser) == "first")

    @classmethod
    def needs_of(cls, config: PIRLConfig) -> Needs:
        if config.transform == "view":
            return Needs(views=2)
        return Needs(views=1, patches="jigsaw", grid=config.grid)

    @classmethod
    def scaled(cls, config: PIRLConfig, data: DataInfo) -> PIRLConfig:
        negatives = scaling.bank_negatives(config.negatives, 32_000, data.images)
        normaliser = scaling.normaliser(config.normaliser, data.images, data.batch_size)
        return config.model_copy(update={"negatives": negatives, "normaliser": normaliser})

    def loss(self, batch: Batch, context: Context) -> LossTerms:
        config, index = self.config, batch.index
        # Patches come last among the views. The transform goes first, and so fixes Z, as in the
        # released code; each has its own batch statistics.
        transformed = unit(self._transformed(batch.views[-1]))  # N x D
        image = unit(self.head(self.encoder(batch.views[0])))  # N x D

        drawn = self._columns(index, context)  # N x (1 + m)
        also_drawn = drawn if config.shared_draw else self._columns(index, context)
        terms = {
            config.transform: config.weight * self._contrast(transformed, drawn),
            "image": (1 - config.weight) * self._contrast(image, also_drawn),
        }
        self.bank.update(index, image, config.bank_momentum)  # never the transform (section 2.2)
        return terms

    def _transformed(self, view: Tensor) -> Tensor:
        """N x 3 x H x W, or of a jigsaw N x P x 3 x h x w -> N x D, not normalised."""
        if self.config.transform == "view":
            embedding: Tensor = self.head(self.encoder(view))
            return embedding
        if view.shape[1] != self.config.grid**2:
            raise ConfigError(
                f"params.grid = {self.config.grid} stands for {self.config.grid**2} patches, "
                f"pretrain.views gives {view.shape[1]}: let both have the same grid"
            )
        patches = self.patch_head(self.encoder(view.flatten(0, 1)))  # NP x D
        # Side by side in their random order, so that only an invariant embedding fits them all.
        jigsaw: Tensor = self.jigsaw_head(patches.reshape(len(view), -1))  # N x D
        return jigsaw

    def _columns(self, index: Tensor, context: Context) -> Tensor:
        """N x (1 + m) rows of the bank, the own one first."""
        # Paper: draws leave the image itself out; code, and here: they may hit it.
        drawn = context.integers(len(self.bank), len(index), settled(self.config.negatives))
        return torch.cat([index[:, None], drawn], 1)

    def _contrast(self, embedding: Tensor, columns: Tensor) -> Tensor:
        images = len(self.bank)
        logits = self.bank.logits(embedding, columns, self.config.temperature)  # N x (1 + m)
        if self.config.loss == "info_nce":
            return bank_info_nce(logits)
        # Paper, equation 3: a softmax over the draws gives the probability; code: a constant Z.
        return bank_nce(logits, self.normaliser(logits, images), images, EPSILON)
