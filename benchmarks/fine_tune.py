"""Fine-tuning: the whole network is trained on all labels, from the encoder's weights on.

Chen et al., "SimCLR", arXiv:2002.05709, appendices B.2 and B.5, where ImageNet itself is learnt so.
SGD with momentum on new views of the images (random crops and flips), with a rate for the encoder
and one for the linear layer on top; test images are centre views, scored once, at the last epoch.
Nothing is selected. What depends on an encoder here is where training starts, so the more labels
and epochs there are, the less encoders differ: ``random`` is training from scratch.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import Field

from sslbench.api import (
    Evaluation,
    EvaluationContext,
    Metric,
    Outcome,
    Scores,
    Subject,
    register_evaluation,
)
from sslbench.data.datasets import LabelledDataset
from sslbench.data.loaders import single_views
from sslbench.data.random import derive_seed
from sslbench.data.recipe import Recipe
from sslbench.data.spec import DatasetSpec
from sslbench.metrics.accuracy import RANKS, means, prediction_table, top_values
from sslbench.nn.encoder import Encoder
from sslbench.nn.fine_tuning import FineTuning, FineTuningConfig


class FineTuneConfig(FineTuningConfig):
    """How the network is trained, and on what."""

    augment: Recipe = Recipe(crop=(0.08, 1.0))
    level: int = Field(0, ge=0)  # of the labels; 0 is the finest


@register_evaluation("fine_tune")
class FineTune(Evaluation):
    """The test accuracy of a network that was trained on all labels."""

    Config = FineTuneConfig
    metrics: tuple[Metric, ...] = (Metric("top1"), Metric("top5"))
    freezes = False
    trial: ClassVar[Mapping[str, Any]] = {"epochs": 2, "batch_size": 32}

    def unsupported(self, encoder: Encoder, dataset: DatasetSpec) -> str | None:
        return dataset.not_classified(self.config.level)

    def run(
        self, subject: Subject, dataset: LabelledDataset, context: EvaluationContext
    ) -> Outcome:
        config: FineTuneConfig = self.config
        seed = derive_seed(context.seed, "fine_tune")
        classes = dataset.spec.levels[config.level].classes
        views = single_views(
            dataset.images("train"),
            config.augment,
            context.image_size,
            config.batch_size,
            seed,
            device=context.device,
            workers=context.workers,
        )
        labels = torch.from_numpy(dataset.labels("train")[:, config.level]).to(context.device)
        training = FineTuning(subject.encoder, classes, views, labels, config, seed)
        training.run(context)
        context.log("loss", training.loss)
        ranked = training.ranked(context.centre_views(dataset.images("test")), RANKS, context)
        return Outcome(
            prediction_table(dataset.labels("test")[:, config.level], {"ranked": ranked.numpy()}),
            chosen={"epoch": config.epochs, "chosen_on": "nothing"},
        )

    @staticmethod
    def item_values(table: pa.Table) -> Mapping[str, NDArray[np.float64]]:
        return top_values(table)

    @staticmethod
    def score(table: pa.Table) -> Scores:
        return means(FineTune.item_values(table))
