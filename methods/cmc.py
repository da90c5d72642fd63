"""CMC: Contrastive Multiview Coding of an image's lightness and its colours.

Tian et al., "Contrastive Multiview Coding", ECCV 2020, arXiv:1906.05849, sections 3 and 4.1. The
default compares within the batch; the paper's memory banks are a variant in cmc.yaml.
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
    bank_nce,
    batch_info_nce,
    mlp,
    scaling,
    unit,
)


class CMCConfig(Settings):
    """Hyperparameters; "auto" is scaled to the data (``sslbench.nn.scaling``)."""

    dim: int = Field(128, ge=1)  # width of an embedding
    contrast: Literal["batch", "memory bank"] = "batch"  # where negatives come from
    negatives: Annotated[int, Field(ge=1)] | Auto = "auto"  # per image; batch: all others of it
    bank_momentum: float = Field(0.5, ge=0, lt=1)  # of an image's rows in the banks
    temperature: float = Field(0.07, gt=0)
    normaliser: scaling.Estimate | Auto = "auto"  # which batch gives NCE's constants Z


@register_method("cmc")
class CMC(Method):
    """The lightness of an image against the colours of all, and its colours against lightnesses."""

    Config = CMCConfig
    needs = Needs(views=1, input="lab_split")
    version = 1

    def __init__(self, encoder: Encoder, config: CMCConfig, data: DataInfo) -> None:
        super().__init__(encoder, config, data)
        self.lightness_head = mlp(encoder.dim // 2, config.dim)
        self.colour_head = mlp(encoder.dim // 2, config.dim)
        if config.contrast == "memory bank":
            self.lightness_bank = MemoryBank(data.images, config.dim)
            self.colour_bank = MemoryBank(data.images, config.dim)
            frozen = settled(config.normaliser) == "first"
            self.lightness_normaliser, self.colour_normaliser = (
                Normaliser(frozen),
                Normaliser(frozen),
            )

    @classmethod
    def scaled(cls, config: CMCConfig, data: DataInfo) -> CMCConfig:
        normaliser = scaling.normaliser(config.normaliser, data.images, data.batch_size)
        if config.contrast == "memory bank":
            negatives = scaling.bank_negatives(config.negatives, 16_384, data.images)
            return config.model_copy(update={"negatives": negatives, "normaliser": normaliser})
        reason = "with contrast: batch the negatives are the other images of the batch"
        scaling.check_batch(data.batch_size, reason)
        others = data.batch_size - 1
        if config.negatives not in ("auto", others):
            raise ConfigError(
                f"params.negatives = {config.negatives}: contrast: batch compares an image with "
                f"all {others} others of its batch. Leave it at auto, or take contrast: memory bank"
            )
        return config.model_copy(update={"negatives": others, "normaliser": normaliser})

    def loss(self, batch: Batch, context: Context) -> LossTerms:
        of_lightness, of_colour = self.encoder.towers(batch.views[0])  # N x dim / 2 each
        lightness = unit(self.lightness_head(of_lightness))  # N x D
        colour = unit(self.colour_head(of_colour))  # N x D
        if self.config.contrast == "batch":
            temperature = self.config.temperature
            return {
                "lightness": batch_info_nce(lightness, colour, temperature) / 2,
                "colour": batch_info_nce(colour, lightness, temperature) / 2,
            }
        return self._against_banks(lightness, colour, batch.index, context)

    def _against_banks(
        self, lightness: Tensor, colour: Tensor, index: Tensor, context: Context
    ) -> LossTerms:
        """Each embedding against the other tower's bank (section 3.4); both see the same draws."""
        images, temperature = len(self.colour_bank), self.config.temperature
        drawn = context.integers(images, len(index), settled(self.config.negatives))
        columns = torch.cat([index[:, None], drawn], 1)  # N x (1 + m), the own row first
        to_colour = self.colour_bank.logits(lightness, columns, temperature)
        to_lightness = self.lightness_bank.logits(colour, columns, temperature)
        terms = {
            "lightness": bank_nce(to_colour, self.lightness_normaliser(to_colour, images), images),
            "colour": bank_nce(to_lightness, self.colour_normaliser(to_lightness, images), images),
        }
        self.lightness_bank.update(index, lightness, self.config.bank_momentum)
        self.colour_bank.update(index, colour, self.config.bank_momentum)
        return terms
