"""Weighted k-nearest-neighbour vote on frozen, L2-normalised features.

Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", CVPR 2018,
arXiv:1805.01978, section 3.4. The defaults are those of DINO (arXiv:2104.14294, section 4.1 and
released code); all of ``neighbours`` are measured in one pass, and which of them is the headline is
fixed before anything is measured.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from sslbench.api import (
    DataError,
    Evaluation,
    EvaluationContext,
    Metric,
    Outcome,
    Scores,
    Settings,
    Subject,
    register_evaluation,
)
from sslbench.data.datasets import LabelledDataset
from sslbench.data.spec import DatasetSpec
from sslbench.metrics.accuracy import (
    EMPTY,
    RANKS,
    hits,
    means,
    percent,
    prediction_table,
    top_values,
)
from sslbench.nn.encoder import Encoder
from sslbench.nn.layers import OUTPUT, no_such_layer
from sslbench.nn.search import nearest

VOTES = 2**18  # numbers in a block of queries x classes or neighbours: 2 MiB


class KNNConfig(Settings):
    """How many neighbours vote, and how steeply a vote falls with distance."""

    neighbours: tuple[int, ...] = Field((10, 20, 100, 200), min_length=1)
    headline: int = Field(20, ge=1)  # which of them gives top1 and top5
    temperature: float = Field(0.07, gt=0)
    level: int = Field(0, ge=0)  # of the labels; 0 is the finest
    layer: int = Field(OUTPUT, ge=OUTPUT, json_schema_extra={"since": 2})  # 0 is the finest map

    @model_validator(mode="after")
    def _headline_is_measured(self) -> "KNNConfig":
        if min(self.neighbours) < 1 or len(set(self.neighbours)) < len(self.neighbours):
            raise ValueError(f"neighbours {list(self.neighbours)}: expected different numbers >= 1")
        if self.headline not in self.neighbours:
            raise ValueError(f"headline {self.headline} is none of {list(self.neighbours)}")
        return self


@register_evaluation("knn")
class KNN(Evaluation):
    """Training images vote for their class with exp(cosine / temperature)."""

    Config = KNNConfig
    metrics: tuple[Metric, ...] = (Metric("top1"), Metric("top5"))
    version = 1

    def __init__(self, config: KNNConfig) -> None:
        super().__init__(config)
        each = (Metric(f"top1_k{neighbours}") for neighbours in sorted(config.neighbours))
        self.metrics = (*type(self).metrics, *each)

    def unsupported(self, encoder: Encoder, dataset: DatasetSpec) -> str | None:
        reason = dataset.not_classified(self.config.level)
        return reason or no_such_layer(encoder, self.config.layer)

    def run(
        self, subject: Subject, dataset: LabelledDataset, context: EvaluationContext
    ) -> Outcome:
        config = self.config
        bank = context.features(subject.encoder, dataset, "train", config.layer)
        most = max(config.neighbours)
        if most > len(bank.x):
            raise DataError(
                f"knn: {dataset.spec.name} has {len(bank.x)} training images, fewer than "
                f"k = {most}. Set smaller settings.neighbours and settings.headline"
            )
        test = context.features(subject.encoder, dataset, "test", config.layer)
        similarity, position = nearest(
            test.x, bank.x, most, context.device, on_progress=context.progress
        )
        labels = bank.y[:, config.level].to(context.device)
        ranked = ranked_classes(
            similarity,
            labels[position],
            dataset.spec.levels[config.level].classes,
            config.neighbours,
            config.temperature,
        )
        columns = {f"k{neighbours}": ranks.cpu().numpy() for neighbours, ranks in ranked.items()}
        columns["ranked"] = columns[f"k{config.headline}"]
        return Outcome(prediction_table(test.y[:, config.level].numpy(), columns), chosen={})

    @staticmethod
    def item_values(table: pa.Table) -> Mapping[str, NDArray[np.float64]]:
        each = sorted((name for name in table.column_names if name[0] == "k"), key=_neighbours)
        return {
            **top_values(table),
            **{f"top1_{name}": percent(hits(table, name, 1)) for name in each},
        }

    @staticmethod
    def score(table: pa.Table) -> Scores:
        return means(KNN.item_values(table))


def _neighbours(column: str) -> int:
    return int(column[1:])


def ranked_classes(
    similarity: Tensor,
    votes_for: Tensor,
    classes: int,
    neighbours: tuple[int, ...],
    temperature: float,
) -> dict[int, Tensor]:
    """For each k, the classes with the most votes of the k nearest, best first: N x ranks.

    ``similarity``, ``votes_for`` (each neighbour's class): N x K, nearest first. A class without a
    vote takes no rank. Of equal votes the lower class comes first.
    """
    parts: dict[int, list[Tensor]] = {k: [] for k in sorted(neighbours)}
    rows = max(1, VOTES // max(classes, similarity.shape[1]))
    for near, voted in zip(
        torch.split(similarity, rows), torch.split(votes_for, rows), strict=True
    ):
        # Relative to the nearest, or a small temperature overflows; double, so that sums do not
        # depend on their order.
        weight = ((near - near[:, :1]).double() / temperature).exp()  # n x K
        votes = weight.new_zeros(len(near), classes)
        done = 0
        for k in parts:  # from few to many, each adding to the votes before it
            votes.scatter_add_(1, voted[:, done:k], weight[:, done:k])
            done = k
            parts[k].append(_best_classes(votes))
    return {k: torch.cat(blocks) for k, blocks in parts.items()}


def _best_classes(votes: Tensor) -> Tensor:
    """The classes with the most votes, best first, of equal ones the lower first: n x ranks."""
    left, ranks = votes.clone(), []
    for _ in range(min(RANKS, votes.shape[1])):  # far quicker than a stable sort of 1,000 classes
        most, cls = left.max(dim=1, keepdim=True)  # of equal ones torch takes the first
        ranks.append(cls.masked_fill(most <= 0, EMPTY))
        left.scatter_(1, cls, -1.0)
    return torch.cat(ranks, dim=1)
