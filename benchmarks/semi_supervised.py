"""Semi-supervised learning: the whole network is fine-tuned on a small share of the labels.

Zhai et al., S4L, arXiv:1905.03670, section 4; as measured since SimCLR (arXiv:2002.05709, appendix
B.5). The pre-training saw every image without its label; here 1 % or 10 % of the training images
have one, and the others are not used. Training is as in ``fine_tune``, the last epoch is measured
on centre views of the test images, and nothing is selected: held-out images would be labels too.

``fraction`` of each class's images are drawn by the seed, rounded, and at least one; those of a
smaller fraction are among those of a larger. Where the papers share a list (SimCLR's of ImageNet),
the data set holds what is listed and the fraction is 1. Intervals are over test images, for the
labels that were drawn: other draws are other seeds.
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
from sslbench.data.datasets import LabelledDataset, chosen_images
from sslbench.data.draws import Draws
from sslbench.data.loaders import single_views
from sslbench.data.random import derive_seed
from sslbench.data.recipe import Recipe
from sslbench.data.spec import DatasetSpec
from sslbench.metrics.accuracy import RANKS, means, prediction_table, top_values
from sslbench.nn.encoder import Encoder
from sslbench.nn.fine_tuning import FineTuning, FineTuningConfig

Integers = NDArray[np.int64]


class SemiSupervisedConfig(FineTuningConfig):
    """Which labels are known, and how the network is trained on them."""

    fraction: float = Field(0.1, gt=0, le=1)  # of the training images of each class
    augment: Recipe = Recipe(crop=(0.08, 1.0))
    level: int = Field(0, ge=0)  # of the labels; 0 is the finest


@register_evaluation("semi_supervised")
class SemiSupervised(Evaluation):
    """The test accuracy of a network that was trained on few labels."""

    Config = SemiSupervisedConfig
    metrics: tuple[Metric, ...] = (Metric("top1"), Metric("top5"))
    freezes = False
    trial: ClassVar[Mapping[str, Any]] = {"epochs": 2, "batch_size": 16}

    def unsupported(self, encoder: Encoder, dataset: DatasetSpec) -> str | None:
        return dataset.not_classified(self.config.level)

    def run(
        self, subject: Subject, dataset: LabelledDataset, context: EvaluationContext
    ) -> Outcome:
        config: SemiSupervisedConfig = self.config
        seed = derive_seed(context.seed, "semi_supervised")
        known = dataset.labels("train")[:, config.level]
        positions = labelled(known, config.fraction, context.seed)
        context.log("labelled_images", len(positions))
        views = single_views(
            chosen_images(dataset.images("train"), positions),
            config.augment,
            context.image_size,
            config.batch_size,
            seed,
            device=context.device,
            workers=context.workers,
        )
        labels = torch.from_numpy(known[positions]).to(context.device)
        classes = dataset.spec.levels[config.level].classes
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
        return means(SemiSupervised.item_values(table))


def labelled(labels: Integers, fraction: float, seed: int) -> Integers:
    """The positions of the images whose labels (N) are known, in order."""
    keys = Draws(seed, "labelled", range(len(labels))).bits("order")[:, 0]
    chosen = []
    for cls in np.unique(labels):
        members = np.flatnonzero(labels == cls)
        share = max(1, round(fraction * len(members)))
        chosen.append(members[np.argsort(keys[members], kind="stable")[:share]])
    return np.sort(np.concatenate(chosen))
