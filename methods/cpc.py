"""CPC: Contrastive Predictive Coding of the patches of an image.

Van den Oord et al., "Representation Learning with Contrastive Predictive Coding",
arXiv:1807.03748, sections 2 and 3.2. Predictions in all four directions (Hénaff et al.,
"Data-Efficient Image Recognition with Contrastive Predictive Coding", ICML 2020, arXiv:1905.09272)
are a variant in cpc.yaml.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from sslbench.api import (
    Batch,
    ConfigError,
    Context,
    DataInfo,
    LossTerms,
    Method,
    Needs,
    Settings,
    distinct,
    register_method,
)
from sslbench.nn import Encoder, cross_entropy_of_first, drawn_products, mlp, wide

SKIPPED = 1  # rows between a context and what it predicts first: patches of neighbours overlap
LEAST_PATCH = 4  # pixels of a side

Direction = Literal["down", "up", "right", "left"]


class CPCConfig(Settings):
    """Hyperparameters; section 3.2 of the paper and Löwe et al.'s code (arXiv:1905.11786)."""

    dim: int = Field(128, ge=1)  # width of a patch's embedding and of a context
    grid: int = Field(7, ge=3)  # patches along a side, as in pretrain.views
    steps: int = Field(5, ge=1)  # rows that are predicted below each context
    negatives: int = Field(16, ge=1)  # patches of the batch that a prediction is compared with
    context_layers: int = Field(4, ge=1)  # each lets a context see one row more
    directions: Annotated[tuple[Direction, ...], Field(min_length=1), AfterValidator(distinct)] = (
        "down",
    )


@register_method("cpc")
class CPC(Method):
    """Rows of patches predict the rows below them."""

    Config = CPCConfig
    needs = Needs(views=0, patches="grid", norm="group")
    version = 1

    def __init__(self, encoder: Encoder, config: CPCConfig, data: DataInfo) -> None:
        super().__init__(encoder, config, data)
        self.head = mlp(encoder.dim, config.dim)
        self.context_networks = nn.ModuleDict(
            {name: ContextNetwork(config.dim, config.context_layers) for name in config.directions}
        )
        self.predictors = nn.ModuleDict(
            {name: _predictors(config.dim, config.steps) for name in config.directions}
        )

    @classmethod
    def needs_of(cls, config: CPCConfig) -> Needs:
        return replace(cls.needs, grid=config.grid)

    @classmethod
    def scaled(cls, config: CPCConfig, data: DataInfo) -> CPCConfig:
        farthest = config.grid - 1 - SKIPPED
        if config.steps > farthest:
            raise ConfigError(
                f"params.steps = {config.steps}: in a grid of {config.grid} rows the first context "
                f"has {farthest} to predict, {SKIPPED} being skipped. Nearest that works: "
                f"{farthest}, or grid: {config.steps + 1 + SKIPPED} in params and pretrain.views"
            )
        patch = 2 * (data.image_size // (config.grid + 1))
        if patch < LEAST_PATCH:
            raise ConfigError(
                f"pretrain.image_size = {data.image_size} in a grid of {config.grid} leaves "
                f"patches of {patch} pixels, fewer than {LEAST_PATCH}. Nearest that works: "
                f"image_size {LEAST_PATCH // 2 * (config.grid + 1)}, or a smaller grid in "
                "params and pretrain.views"
            )
        return config

    def loss(self, batch: Batch, context: Context) -> LossTerms:
        latents = self._latents(batch.views[0])  # N x D x G x G
        terms: LossTerms = {}
        for name in self.config.directions:
            turned = _turned(latents, name)  # what is predicted now lies below
            # The last rows have nothing below them that a context of theirs could predict.
            contexts = self.context_networks[name](turned[:, :, : -1 - SKIPPED])
            loss = self.predictive_loss(turned, contexts, self.predictors[name], context)
            terms[name] = loss / len(self.config.directions)
        return terms

    def _latents(self, patches: Tensor) -> Tensor:
        """N x P x 3 x h x w -> N x D x G x G."""
        count, grid = len(patches), self.config.grid
        if patches.shape[1] != grid**2:
            raise ConfigError(
                f"params.grid = {grid} stands for {grid**2} patches, pretrain.views gives "
                f"{patches.shape[1]}: let both have the same grid"
            )
        embedded: Tensor = self.head(self.encoder(patches.flatten(0, 1)))  # NP x D
        return embedded.view(count, grid, grid, -1).permute(0, 3, 1, 2)

    def predictive_loss(
        self, latents: Tensor, contexts: Tensor, predictors: nn.Module, context: Context
    ) -> Tensor:
        """The mean over distances of InfoNCE of contexts and the rows so far below them.

        latents: N x D x H x W; contexts: N x D x (H - 2 or more) x W; predictors: the W_k in order.
        """
        # Row by row, for a gradient of each slice of the maps would be as large as all of them.
        below, above = (maps.permute(0, 2, 3, 1).unbind(1) for maps in (latents, contexts))
        losses = []
        for distance, predictor in enumerate(predictors.children(), start=1 + SKIPPED):
            # Paper: W_k maps the context; code: the target. The scores are the same.
            target = linear(
                _together(below[distance:]), predictor.get_parameter("weight").flatten(1)
            )  # R x D
            query = _together(above[: len(below) - distance])  # R x D, R = N (H - distance) W
            # Of any image and place, the positive's included (code).
            drawn = context.integers(len(target), len(target), self.config.negatives)
            losses.append(sampled_info_nce(query, target, drawn))
        return torch.stack(losses).mean()


class ContextNetwork(nn.Module):
    """Summarises rows of latents from the top: N x D x H x W -> N x D x H x W.

    Row r of the result depends on rows up to r. Gated residual layers as in PixelCNN (van den Oord
    et al., arXiv:1606.05328), of a kernel whose lower half is left out: unlike pixels, the patches
    of a row may all see each other, for none of them is predicted from that row.
    """

    def __init__(self, dim: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*[_GatedLayer(dim) for _ in range(layers)])

    def forward(self, latents: Tensor) -> Tensor:
        contexts: Tensor = self.layers(latents)
        return contexts


class _GatedLayer(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        inner = max(1, dim // 2)
        self.narrow = nn.Conv2d(dim, inner, 1)
        self.above = nn.Conv2d(inner, 2 * inner, (2, 3))  # the row itself and the one above
        self.widen = nn.Conv2d(inner, dim, 1)

    def forward(self, rows: Tensor) -> Tensor:
        seen = pad(self.narrow(rows), (1, 1, 1, 0))  # one column on either side, one row above
        content, gate = self.above(seen).chunk(2, 1)
        added: Tensor = self.widen(content.tanh() * gate.sigmoid())
        return rows + added


def sampled_info_nce(query: Tensor, target: Tensor, drawn: Tensor) -> Tensor:
    """InfoNCE by plain products; each query has its own negatives among the targets, the mean.

    query, target: R x D, row i of the one belonging to row i of the other; drawn: R x K rows of
    ``target``. Raises ConfigError without negatives.
    """
    if not drawn.numel():
        raise ConfigError("sampled_info_nce without negatives is always 0: draw one at least")
    with torch.autocast(query.device.type, enabled=False):
        query, target = wide(query), wide(target)
        positive = torch.linalg.vecdot(query, target)  # R
        negatives = drawn_products(query, target, drawn)  # R x K
        # Code: 1e-11 is added to the probability, which only bounds the loss, at 25.
        logits = torch.cat([positive[:, None], negatives], 1)  # R x (1 + K)
        return cross_entropy_of_first(logits)


def _predictors(dim: int, steps: int) -> nn.ModuleList:
    """The W_k of equation 3, for each of the distances."""
    return nn.ModuleList(nn.Conv2d(dim, dim, 1, bias=False) for _ in range(steps))


def _turned(latents: Tensor, direction: Direction) -> Tensor:
    """N x D x G x G, such that the direction points down."""
    if direction in ("right", "left"):
        latents = latents.transpose(2, 3)
    return latents.flip(2) if direction in ("up", "left") else latents


def _together(rows: Sequence[Tensor]) -> Tensor:
    """H rows of N x W x D -> NHW x D, an image after the other."""
    return torch.stack(list(rows), 1).flatten(0, 2)
