"""Linear classifier on a frozen encoder, its learning rate and weight decay chosen without leaks.

The protocol of Zhang et al. (arXiv:1603.08511, section 3.2) as used since CPC and MoCo, with the
grid in one pass of DINOv2 (arXiv:2304.07193, appendix B.3). By default it reads features of centre
views: no augmentation, so that features are computed once, and standardised by statistics of the
images that a head is trained on, so that a grid means the same for every encoder. With ``augment``
the encoder sees new views of the images in every epoch, as in the papers; the YAML has their
settings by name.

``selection: held_out`` trains the grid on nine tenths of the training images, picks by accuracy on
the last tenth, trains the chosen setting anew on all of them and scores the test images once, all
at the last epoch; where there is one setting only, nothing is chosen. ``selection: paper`` trains
the grid on all training images and reports the best setting and epoch on test, as many papers do;
the fingerprint says so, and the gap between the two is the optimism.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from sslbench.api import (
    ConfigError,
    Evaluation,
    EvaluationContext,
    Metric,
    Outcome,
    Scores,
    Selection,
    Settings,
    Split,
    Subject,
    register_evaluation,
)
from sslbench.data.datasets import LabelledDataset, chosen_images
from sslbench.data.images import ImageSet
from sslbench.data.loaders import single_views
from sslbench.data.random import derive_seed
from sslbench.data.recipe import Recipe
from sslbench.data.spec import DatasetSpec
from sslbench.metrics.accuracy import RANKS, means, prediction_table, top_values
from sslbench.nn.blocks import BlockInput, block_inputs, read_images
from sslbench.nn.encoder import Encoder
from sslbench.nn.layers import OUTPUT, no_such_layer
from sslbench.nn.linear import Rows, Setting, Standardiser
from sslbench.nn.linear_selection import Choice, Regime
from sslbench.nn.linear_training import CachedBatches, EncodedViews, Stream

Rate = Annotated[float, Field(gt=0)]
Decay = Annotated[float, Field(ge=0)]


def _later(default: Any, **limits: Any) -> Any:
    """A field of version 2: what was measured before keeps its identity."""
    return Field(default, json_schema_extra={"since": 2}, **limits)


class LinearProbeConfig(Settings):
    """SGD with momentum; the defaults are a grid on cached features."""

    lrs: tuple[Rate, ...] = Field((0.3, 1.0, 3.0, 10.0, 30.0, 100.0), min_length=1)
    weight_decays: tuple[Decay, ...] = Field((0.0, 1e-5, 1e-4, 1e-3), min_length=1)
    epochs: int = Field(30, ge=1)  # with rates up to 100, within noise of 100 epochs up to 30
    batch_size: int = Field(256, ge=1)
    momentum: float = Field(0.9, ge=0, lt=1)
    selection: Literal["held_out", "paper"] = "held_out"
    level: int = Field(0, ge=0)  # of the labels; 0 is the finest
    augment: Recipe | None = _later(None)  # null: features of centre views, computed once
    layer: int = _later(OUTPUT, ge=OUTPUT)  # of the encoder; 0 is the finest map
    blocks: tuple[Annotated[int, Field(ge=1)], ...] = _later(())  # last n each; none: the output
    mean_patch: tuple[bool, ...] = _later((False,), min_length=1)  # added to the blocks' or not
    standardise: bool = _later(True)
    start_std: float = _later(0.0, ge=0)  # of the first weights
    lr_per_batch: int | None = _later(None, ge=1)  # null: rates are not scaled with the batch
    nesterov: bool = _later(False)
    schedule: Literal["cosine", "step"] = _later("cosine")
    milestones: tuple[float, ...] = _later(())  # of "step", as fractions of the run; x 0.1 each
    epoch_steps: int | None = _later(None, ge=1)  # null: as many as show every image about once

    @model_validator(mode="after")
    def _fields_go_together(self) -> "LinearProbeConfig":
        if (self.schedule == "step") != bool(self.milestones):
            raise ValueError("schedule: step needs milestones, and only it has them")
        if True in self.mean_patch and not self.blocks:
            raise ValueError("mean_patch: true needs blocks")
        if self.layer != OUTPUT and (self.blocks or self.augment is not None):
            raise ValueError("layer: goes with neither blocks nor augment, which read no layer")
        return self

    @property
    def grid(self) -> list[Setting]:
        """Rates not yet scaled."""
        return [Setting(*pair) for pair in product(self.lrs, self.weight_decays)]

    def regime(self, encoder: Encoder) -> Regime:
        """Raises ConfigError if the encoder has no such blocks."""
        inputs = [BlockInput()]
        if self.blocks:
            inputs = block_inputs(encoder, self.blocks, self.mean_patch)
        scale = self.batch_size / (self.lr_per_batch or self.batch_size)
        return Regime(
            inputs,
            [Setting(setting.lr * scale, setting.weight_decay) for setting in self.grid],
            self.epochs,
            self.epoch_steps,
            self.momentum,
            self.nesterov,
            self.schedule,
            self.milestones,
        )


@register_evaluation("linear_probe")
class LinearProbe(Evaluation):
    """The test accuracy of one linear layer."""

    Config = LinearProbeConfig
    metrics: tuple[Metric, ...] = (Metric("top1"), Metric("top5"))
    trial: ClassVar[Mapping[str, Any]] = {"epochs": 6, "epoch_steps": 10, "batch_size": 32}

    def __init__(self, config: LinearProbeConfig) -> None:
        super().__init__(config)
        # Version 1 compared settings on test at the last epoch; held_out has not changed.
        self.version = 2 if config.selection == "paper" else 1

    @property
    def selection(self) -> Selection:
        chosen: Selection = self.config.selection
        return chosen

    def unsupported(self, encoder: Encoder, dataset: DatasetSpec) -> str | None:
        reason = dataset.not_classified(self.config.level)
        reason = reason or no_such_layer(encoder, self.config.layer)
        if reason is not None:
            return reason
        try:
            self.config.regime(encoder)
        except ConfigError as error:
            return str(error)
        return None

    def run(
        self, subject: Subject, dataset: LabelledDataset, context: EvaluationContext
    ) -> Outcome:
        config: LinearProbeConfig = self.config
        choice = Choice(
            config.regime(subject.encoder),
            _Images(config, subject.encoder, dataset, context),
            context,
        )
        found = choice.on_test() if config.selection == "paper" else choice.on_held_out()
        ranked = found.head.ranked(0, found.test, RANKS)
        setting = config.grid[found.place]
        edges = (min(config.lrs), max(config.lrs))
        return Outcome(
            prediction_table(found.labels.numpy(), {"ranked": ranked.cpu().numpy()}),
            chosen={
                **({"input": str(found.given)} if config.blocks else {}),
                "lr": setting.lr,
                "weight_decay": setting.weight_decay,
                **found.how,
                "lr_at_edge": len(config.lrs) > 1 and setting.lr in edges,
            },
        )

    @staticmethod
    def item_values(table: pa.Table) -> Mapping[str, NDArray[np.float64]]:
        return top_values(table)

    @staticmethod
    def score(table: pa.Table) -> Scores:
        return means(LinearProbe.item_values(table))


class _Images:
    """What heads learn from: features of centre views, or an encoder that sees new views."""

    def __init__(
        self,
        config: LinearProbeConfig,
        encoder: Encoder,
        dataset: LabelledDataset,
        context: EvaluationContext,
    ) -> None:
        self.config, self.encoder, self.dataset, self.context = config, encoder, dataset, context

    def features(self, split: Split, inputs: Sequence[BlockInput]) -> tuple[list[Tensor], Tensor]:
        if not self.config.blocks:
            layer = self.config.layer
            features = self.context.features(self.encoder, self.dataset, split, layer)
            return [features.x], features.y[:, self.config.level]
        images, labels = self._images(split)
        views = self.context.centre_views(images)
        return read_images(self.encoder, views, len(images), inputs), labels

    def stream(
        self, split: Split, inputs: Sequence[BlockInput]
    ) -> tuple[Stream, list[Standardiser | None]]:
        config, context = self.config, self.context
        standardise: list[Standardiser | None] = [None] * len(inputs)
        if config.standardise or config.augment is None:
            x, labels = self.features(split, inputs)
            if config.standardise:
                standardise = [Standardiser.of(rows).to(context.device) for rows in x]
        if config.augment is None:
            pairs = zip(x, standardise, strict=True)
            rows = [Rows(part, context.device, of_input) for part, of_input in pairs]
            labels = labels.to(context.device)
            return CachedBatches(rows, labels, config.batch_size, context.seed), standardise
        images, labels = self._images(split)
        views = single_views(
            images,
            config.augment,
            context.image_size,
            config.batch_size,
            derive_seed(context.seed, "linear_probe"),
            device=context.device,
            workers=context.workers,
        )
        labels = labels.to(context.device)
        return EncodedViews(self.encoder, views, labels, inputs, standardise), standardise

    def first_weights(self, given: BlockInput, dim: int) -> Tensor:
        classes = self.dataset.spec.levels[self.config.level].classes
        seed = derive_seed(self.context.seed, "linear_probe", str(given))
        drawn = torch.randn(dim, classes, generator=torch.Generator().manual_seed(seed))
        return (drawn * self.config.start_std).to(self.context.device)

    def _images(self, split: Split) -> tuple[ImageSet, Tensor]:
        """Images and their labels (N)."""
        whole = "test" if split == "test" else "train"
        images = self.dataset.images(whole)
        labels = self.dataset.labels(whole)[:, self.config.level]
        if split in ("fit", "held_out"):
            held_out = self.dataset.held_out(self.context.seed)
            positions = np.flatnonzero(held_out if split == "held_out" else ~held_out)
            images, labels = chosen_images(images, positions), labels[positions]
        return images, torch.from_numpy(labels)
