"""Linear classifier on frozen features, its learning rate and weight decay chosen without leaks.

The protocol of Zhang et al. (arXiv:1603.08511, section 3.2) as used since CPC and MoCo, with the
grid in one pass of DINOv2 (arXiv:2304.07193, appendix B.3), on features of centre views: no
augmentation, so that features are computed once. They are standardised by statistics of the images
that a head is trained on, so that a grid means the same for every encoder.

``selection: held_out`` trains the grid on nine tenths of the training images, picks by accuracy on
the last tenth, trains the chosen setting anew on all of them and scores the test images once.
``selection: paper`` trains the grid on all training images and reports the best on test, as many
papers do; the fingerprint says so, and the gap between the two is the optimism.
"""

from collections.abc import Mapping
from itertools import product
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from sslbench.api import (
    Evaluation,
    EvaluationContext,
    Features,
    Metric,
    Outcome,
    Scores,
    Selection,
    Settings,
    Subject,
    register_evaluation,
)
from sslbench.data.datasets import LabelledDataset
from sslbench.data.spec import DatasetSpec
from sslbench.metrics.accuracy import RANKS, hits, means, percent, prediction_table
from sslbench.nn.encoder import Encoder
from sslbench.nn.linear import LinearHeads, Setting, Standardiser, best_setting, fit_linear

Rate = Annotated[float, Field(gt=0)]
Decay = Annotated[float, Field(ge=0)]


class LinearProbeConfig(Settings):
    """SGD with momentum and a cosine; rates are not scaled with the batch."""

    lrs: tuple[Rate, ...] = Field((0.3, 1.0, 3.0, 10.0, 30.0, 100.0), min_length=1)
    weight_decays: tuple[Decay, ...] = Field((0.0, 1e-5, 1e-4, 1e-3), min_length=1)
    epochs: int = Field(30, ge=1)  # with rates up to 100, within noise of 100 epochs up to 30
    batch_size: int = Field(256, ge=1)
    momentum: float = Field(0.9, ge=0, lt=1)
    selection: Literal["held_out", "paper"] = "held_out"
    level: int = Field(0, ge=0)  # of the labels; 0 is the finest


@register_evaluation("linear_probe")
class LinearProbe(Evaluation):
    """The test accuracy of one linear layer."""

    Config = LinearProbeConfig
    metrics: tuple[Metric, ...] = (Metric("top1"), Metric("top5"))
    version = 1

    @property
    def selection(self) -> Selection:
        chosen: Selection = self.config.selection
        return chosen

    def unsupported(self, encoder: Encoder, dataset: DatasetSpec) -> str | None:
        if dataset.task != "classification":
            return f"the probe has one class per image; {dataset.name} is a {dataset.task} data set"
        if self.config.level >= len(dataset.levels):
            return (
                f"level {self.config.level}: {dataset.name} has {len(dataset.levels)} label levels"
            )
        return None

    def run(
        self, subject: Subject, dataset: LabelledDataset, context: EvaluationContext
    ) -> Outcome:
        config: LinearProbeConfig = self.config
        classes = dataset.spec.levels[config.level].classes
        passes = 1 if config.selection == "paper" else 2
        total = passes * config.epochs

        def rows(features: Features) -> tuple[Tensor, Tensor]:
            return features.x.to(context.device), features.y[:, config.level].to(context.device)

        def trained(x: Tensor, y: Tensor, settings: list[Setting], done: int) -> LinearHeads:
            return fit_linear(
                x,
                y,
                classes,
                settings,
                epochs=config.epochs,
                batch_size=config.batch_size,
                momentum=config.momentum,
                seed=context.seed,
                on_epoch=lambda epoch: context.progress(done + epoch, total),
            )

        train_x, train_y = rows(context.features(subject.encoder, dataset, "train"))
        test_x, test_y = rows(context.features(subject.encoder, dataset, "test"))
        standardise = Standardiser.of(train_x)
        settings = [Setting(*pair) for pair in product(config.lrs, config.weight_decays)]
        if config.selection == "held_out":
            fit_x, fit_y = rows(context.features(subject.encoder, dataset, "fit"))
            held_x, held_y = rows(context.features(subject.encoder, dataset, "held_out"))
            within_fit = Standardiser.of(fit_x)
            grid = trained(within_fit(fit_x), fit_y, settings, 0)
            best, accuracy = best_setting(settings, grid.accuracy(within_fit(held_x), held_y))
            heads = trained(standardise(train_x), train_y, [settings[best]], config.epochs)
            head = 0
        else:
            heads = trained(standardise(train_x), train_y, settings, 0)
            best, accuracy = best_setting(settings, heads.accuracy(standardise(test_x), test_y))
            head = best
        chosen = settings[best]
        ranked = heads.ranked(head, standardise(test_x), RANKS)
        return Outcome(
            prediction_table(test_y.cpu().numpy(), {"ranked": ranked.cpu().numpy()}),
            chosen={
                "lr": chosen.lr,
                "weight_decay": chosen.weight_decay,
                f"{'test' if config.selection == 'paper' else 'held_out'}_top1": 100 * accuracy,
                "lr_at_edge": len(config.lrs) > 1
                and chosen.lr in (min(config.lrs), max(config.lrs)),
            },
        )

    @staticmethod
    def item_values(table: pa.Table) -> Mapping[str, NDArray[np.float64]]:
        return {
            "top1": percent(hits(table, "ranked", 1)),
            "top5": percent(hits(table, "ranked", 5)),
        }

    @staticmethod
    def score(table: pa.Table) -> Scores:
        return means(LinearProbe.item_values(table))
