"""Linear classifiers on every layer of a frozen encoder: which of them transfers best.

Zhang et al., "Colorful Image Colorization", arXiv:1603.08511, section 3.2, probed every layer;
Misra and van der Maaten, PIRL, arXiv:1912.01991, report the best of them, chosen on test. Here a
layer is a feature map averaged over its positions, finest first, or the encoder's output (-1); of a
ResNet the output is the last map. Departure: papers pool each map to about 9,000 numbers, so that
early layers are not narrower than late ones; a mean over positions keeps a layer's channels, as the
output does.

Every layer is measured as by ``linear_probe``: a grid on cached features, standardised, its setting
chosen on a tenth of the training images and trained anew on all of them. The headline is of the
layer that did best on that tenth, of equals the last named; so it is no best of test scores. Each
layer's own score stands beside it. Which layers there are is fixed before anything is measured, and
an encoder that lacks one is not measured.

Each layer is encoded, and its features kept, by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor

from sslbench.api import (
    Evaluation,
    EvaluationContext,
    Metric,
    Outcome,
    Scores,
    Selection,
    Settings,
    Split,
    Subject,
    distinct,
    register_evaluation,
)
from sslbench.data.datasets import LabelledDataset
from sslbench.data.spec import DatasetSpec
from sslbench.metrics.accuracy import RANKS, hits, means, percent, prediction_table, top_values
from sslbench.nn.blocks import BlockInput
from sslbench.nn.cached_source import CachedSource
from sslbench.nn.encoder import Encoder
from sslbench.nn.layers import OUTPUT, no_such_layer
from sslbench.nn.linear import Setting
from sslbench.nn.linear_selection import Choice, Regime

Layer = Annotated[int, Field(ge=OUTPUT)]
Rate = Annotated[float, Field(gt=0)]
Decay = Annotated[float, Field(ge=0)]


class LayerProbeConfig(Settings):
    """SGD with momentum, as the linear probe's; the defaults suit a ResNet."""

    layers: Annotated[tuple[Layer, ...], AfterValidator(distinct)] = Field(
        (0, 1, 2, 3, OUTPUT), min_length=2
    )
    lrs: tuple[Rate, ...] = Field((0.3, 1.0, 3.0, 10.0, 30.0, 100.0), min_length=1)
    weight_decays: tuple[Decay, ...] = Field((0.0, 1e-5, 1e-4, 1e-3), min_length=1)
    epochs: int = Field(30, ge=1)
    batch_size: int = Field(256, ge=1)
    momentum: float = Field(0.9, ge=0, lt=1)
    level: int = Field(0, ge=0)  # of the labels; 0 is the finest

    @model_validator(mode="after")
    def _there_is_a_grid(self) -> "LayerProbeConfig":
        if len(self.grid) < 2:
            raise ValueError(
                "one rate and one weight decay: layers are compared on the images that settings "
                "are chosen on, so give two of either"
            )
        return self

    @property
    def grid(self) -> list[Setting]:
        return [Setting(*pair) for pair in product(self.lrs, self.weight_decays)]

    @property
    def regime(self) -> Regime:
        """Of each layer."""
        return Regime(
            [BlockInput()], self.grid, self.epochs, None, self.momentum, False, "cosine", ()
        )


@register_evaluation("layer_probe")
class LayerProbe(Evaluation):
    """The test accuracy of one linear layer on each of an encoder's layers."""

    Config = LayerProbeConfig
    metrics: tuple[Metric, ...] = (Metric("top1"), Metric("top5"))
    trial: ClassVar[Mapping[str, Any]] = {"epochs": 6, "batch_size": 32}

    def __init__(self, config: LayerProbeConfig) -> None:
        super().__init__(config)
        each = (Metric(f"top1_{_name(layer)}") for layer in config.layers)
        self.metrics = (*type(self).metrics, *each)

    @property
    def selection(self) -> Selection:
        return "held_out"

    def unsupported(self, encoder: Encoder, dataset: DatasetSpec) -> str | None:
        reason = dataset.not_classified(self.config.level)
        return reason or no_such_layer(encoder, *self.config.layers)

    def run(
        self, subject: Subject, dataset: LabelledDataset, context: EvaluationContext
    ) -> Outcome:
        config: LayerProbeConfig = self.config
        done: list[dict[str, Any]] = (context.checkpoint.load() or {"done": []})["done"]
        for layer in config.layers[len(done) :]:
            turn = _Turn(context, done, len(config.layers))
            done = [*done, self._probed(layer, subject.encoder, dataset, turn)]
            context.checkpoint.save({"done": done})
        labels = context.features(subject.encoder, dataset, "test", config.layers[-1]).y
        names = [_name(layer) for layer in config.layers]
        probes = dict(zip(names, done, strict=True))
        accuracy = [probe["chosen"]["held_out_top1"] for probe in done]
        best = names[max(range(len(names)), key=lambda number: (accuracy[number], number))]
        columns = {name: probe["ranked"].numpy() for name, probe in probes.items()}
        columns["ranked"] = columns[best]
        return Outcome(
            prediction_table(labels[:, config.level].numpy(), columns),
            chosen={"layer": best, **{name: probe["chosen"] for name, probe in probes.items()}},
        )

    def _probed(
        self, layer: int, encoder: Encoder, dataset: LabelledDataset, turn: "_Turn"
    ) -> dict[str, Any]:
        """What one layer's classifier says of the test images, and what was chosen."""
        config: LayerProbeConfig = self.config
        context = turn.context

        def read(split: Split) -> tuple[Tensor, Tensor]:
            features = context.features(encoder, dataset, split, layer)
            return features.x, features.y[:, config.level]

        classes = dataset.spec.levels[config.level].classes
        source = CachedSource(read, classes, config.batch_size, context.seed, context.device)
        winner = Choice(config.regime, source, turn).on_held_out()
        setting = config.grid[winner.place]
        at_edge = len(config.lrs) > 1 and setting.lr in (min(config.lrs), max(config.lrs))
        return {
            "ranked": winner.head.ranked(0, winner.test, RANKS).cpu(),
            "chosen": {**vars(setting), **winner.how, "lr_at_edge": at_edge},
        }

    @staticmethod
    def item_values(table: pa.Table) -> Mapping[str, NDArray[np.float64]]:
        layers = [name for name in table.column_names if name not in ("item", "label", "ranked")]
        return {
            **top_values(table),
            **{f"top1_{name}": percent(hits(table, name, 1)) for name in layers},
        }

    @staticmethod
    def score(table: pa.Table) -> Scores:
        return means(LayerProbe.item_values(table))


@dataclass(frozen=True)
class _Turn:
    """What the context lends to the probe of one layer, after those that are done."""

    context: EvaluationContext
    done: Sequence[Mapping[str, Any]]
    layers: int

    @property
    def device(self) -> torch.device:
        return self.context.device

    @property
    def checkpoint(self) -> "_Turn":
        return self

    def save(self, state: Mapping[str, Any]) -> None:
        self.context.checkpoint.save({"done": list(self.done), "turn": dict(state)})

    def load(self) -> dict[str, Any] | None:
        return (self.context.checkpoint.load() or {}).get("turn")

    def progress(self, done: int, total: int) -> None:
        self.context.progress(len(self.done) * total + done, self.layers * total)


def _name(layer: int) -> str:
    return "output" if layer == OUTPUT else f"layer{layer}"
