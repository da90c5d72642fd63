"""How well clusters agree with classes, at every level of a data set's labels.

By default k-means of L2-normalised features of the test images into as many clusters as a level has
classes, level by level: the protocol of HIRL (Li et al., arXiv:2205.13159), which has one level.
PCL (Li et al., arXiv:2005.04966) clusters training images, into far more. With
``source: prototypes`` an image's clusters are its nearest prototypes in the space of the method's
head, at each level of its prototypes: whether the hierarchy that HCSC (Guo et al.,
arXiv:2202.00455) learns is that of the labels. HCSC itself passes an image on from prototype to
parent; here every level is asked alone, as PCL's and DeepCluster's have no parents.

Of several starts of k-means the one with the least inertia is kept: labels choose nothing. Features
that are all equal make one cluster, which scores 0.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from sslbench.api import (
    Evaluation,
    EvaluationContext,
    Metric,
    Outcome,
    Scores,
    Settings,
    Subject,
    distinct,
    register_evaluation,
)
from sslbench.data.datasets import LabelledDataset
from sslbench.data.random import derive_seed
from sslbench.data.spec import DatasetSpec
from sslbench.errors import Collapsed
from sslbench.metrics.clustering import (
    adjusted_mutual_information,
    adjusted_rand_index,
    matched_accuracy,
    normalized_mutual_information,
)
from sslbench.metrics.resampled_agreement import Contingency
from sslbench.nn.clustering import kmeans
from sslbench.nn.encoder import Encoder
from sslbench.nn.prototypes import Prototypes
from sslbench.nn.search import nearest
from sslbench.nn.unit_rows import unit_rows

LABEL, CLUSTER = "label_", "cluster_"  # what columns begin with, before a level or a clustering
SEEDS = 2**31  # of faiss


class ClusteringConfig(Settings):
    """Which clusters, of which images."""

    source: Literal["kmeans", "prototypes"] = "kmeans"
    clusters: tuple[int, ...] = ()  # of k-means; none: as many as classes, at every level
    iterations: int = Field(20, ge=1)
    restarts: int = Field(5, ge=1)
    split: Literal["test", "train"] = "test"

    @model_validator(mode="after")
    def _clusters_are_those_of_kmeans(self) -> "ClusteringConfig":
        distinct(self.clusters)
        if min(self.clusters, default=2) < 2:
            raise ValueError(f"clusters {list(self.clusters)}: expected numbers from 2 on")
        if self.clusters and self.source == "prototypes":
            raise ValueError("clusters are of source: kmeans; prototypes are as many as they are")
        return self


class Pair:
    """A clustering and the level of labels that it is compared with."""

    def __init__(self, clustering: str, level: str, first: bool) -> None:
        self.clustering, self.level = clustering, level
        self.of_level = clustering == level  # clusters as many as classes
        named = level if self.of_level else f"{clustering}_{level}"
        self.suffix = "" if first else f"_{named}"

    def scores(self, nmi: float, ami: float, ari: float, accuracy: Callable[[], float]) -> Scores:
        """In percent. Accuracy is told where there are as many clusters as classes."""
        found = {"ami": 100 * ami, "nmi": 100 * nmi, "ari": 100 * ari}
        if self.of_level:
            found["accuracy"] = accuracy()
        return {f"{name}{self.suffix}": value for name, value in found.items()}

    def metrics(self) -> Iterator[Metric]:
        for name in ("ami", "nmi", "ari"):
            yield Metric(f"{name}{self.suffix}", adjusted=name != "nmi")
        if self.of_level:
            yield Metric(f"accuracy{self.suffix}")


def pairs(table: pa.Table) -> list[Pair]:
    """What is compared: a clustering for one level with that level, all others with every level."""
    levels = [c.removeprefix(LABEL) for c in table.column_names if c.startswith(LABEL)]
    clusterings = [c.removeprefix(CLUSTER) for c in table.column_names if c.startswith(CLUSTER)]
    both = [(c, level) for c in clusterings for level in ([c] if c in levels else levels)]
    return [Pair(*names, first=number == 0) for number, names in enumerate(both)]


@register_evaluation("clustering")
class Clustering(Evaluation):
    """Agreement of clusters with classes, in percent; AMI and ARI are 0 for random clusters.

    The headline is AMI of the first clustering with the finest labels. Scores of other pairs bear
    the level's name, and the clustering's where it is not made for that level: ``ami_family``,
    ``ami_k1000_family``, ``ami_prototypes_1_family``.
    """

    Config = ClusteringConfig
    metrics: tuple[Metric, ...] = (Metric("ami", adjusted=True),)
    halves = True  # copies of an image are alike: they would raise every index
    trial: ClassVar[Mapping[str, Any]] = {"clusters": [], "restarts": 2}

    def __init__(self, config: ClusteringConfig) -> None:
        super().__init__(config)
        self.split = config.split

    def unsupported(self, encoder: Encoder, dataset: DatasetSpec) -> str | None:
        reason = dataset.not_classified(0)
        images, most = dataset.images(self.split), max(self.config.clusters, default=0)
        if reason is None and images is not None and most > images:
            return f"{most:,} clusters of {images:,} {self.split} images of {dataset.name}"
        return reason

    def metrics_of(self, table: pa.Table) -> tuple[Metric, ...]:
        return tuple(metric for pair in pairs(table) for metric in pair.metrics())

    def run(
        self, subject: Subject, dataset: LabelledDataset, context: EvaluationContext
    ) -> Outcome:
        levels = dataset.spec.levels
        if self.config.source == "prototypes":
            prototypes = Prototypes.of(subject.artifacts)
            features = context.features(subject.encoder, dataset, self.config.split)
            found = _nearest_prototypes(prototypes, features.x, context)
        else:
            sizes = {f"k{k}": k for k in self.config.clusters}
            sizes = sizes or {level.name: level.classes for level in levels}
            features = context.features(subject.encoder, dataset, self.config.split)
            found = self._kmeans(features.x, sizes, context)
        columns = {"item": pa.array(np.arange(len(features.y)), pa.int32())}
        for level, labels in zip(levels, features.y.T, strict=True):
            columns[f"{LABEL}{level.name}"] = pa.array(labels.numpy(), pa.int32())
        for name, assignment in found.items():
            columns[f"{CLUSTER}{name}"] = pa.array(assignment.cpu().numpy(), pa.int32())
        return Outcome(pa.table(columns), chosen={})

    def _kmeans(
        self, x: Tensor, sizes: Mapping[str, int], context: EvaluationContext
    ) -> dict[str, Tensor]:
        """The cluster of each image (N) in every clustering, the best of some starts."""
        starts = [(name, start) for name in sizes for start in range(self.config.restarts)]
        state = context.checkpoint.load() or {"done": 0, "inertia": {}, "clusters": {}}
        rows = unit_rows(x) if state["done"] < len(starts) else x
        for done, (name, start) in enumerate(starts):
            if done < state["done"]:
                continue
            seed = derive_seed(context.seed, "clustering", sizes[name], start) % SEEDS
            try:
                part = kmeans(rows, sizes[name], seed, self.config.iterations, redo=1)
                inertia = float(part.distance.double().sum())
                assignment = part.assignment
            except Collapsed:
                inertia, assignment = 0.0, torch.zeros(len(rows), dtype=torch.int64)
            if inertia < state["inertia"].get(name, np.inf):
                state["inertia"][name] = inertia
                state["clusters"][name] = assignment.int()
            state["done"] = done + 1
            context.checkpoint.save(state)
            context.progress(done + 1, len(starts))
        for name, inertia in state["inertia"].items():
            context.log(f"inertia_{name}", inertia / len(x))
        clusters: dict[str, Tensor] = state["clusters"]
        return clusters

    @staticmethod
    def score(table: pa.Table) -> Scores:
        found: Scores = {}
        for pair in pairs(table):
            classes, clusters = _numbers(table, pair)
            found |= pair.scores(
                normalized_mutual_information(classes, clusters),
                adjusted_mutual_information(classes, clusters),
                adjusted_rand_index(classes, clusters),
                partial(matched_accuracy, classes, clusters),
            )
        return found

    @staticmethod
    def resampler(table: pa.Table) -> Callable[[NDArray[np.int64]], Scores]:
        table = table.sort_by("item")
        counts = [(pair, Contingency(*_numbers(table, pair))) for pair in pairs(table)]

        def scores(times: NDArray[np.int64]) -> Scores:
            found: Scores = {}
            for pair, contingency in counts:
                counted = contingency.counted(times)
                nmi, ami = counted.information_indices()
                found |= pair.scores(nmi, ami, counted.rand_index(), counted.matched_accuracy)
            return found

        return scores


def _numbers(table: pa.Table, pair: Pair) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Classes and clusters of the items (N each)."""
    return (
        table[f"{LABEL}{pair.level}"].to_numpy(),
        table[f"{CLUSTER}{pair.clustering}"].to_numpy(),
    )


def _nearest_prototypes(
    prototypes: Prototypes, x: Tensor, context: EvaluationContext
) -> dict[str, Tensor]:
    """The nearest prototype of each image (N) at every level."""
    embedded = prototypes.embedded(x)
    found = {}
    for done, (name, rows) in enumerate(prototypes.levels.items()):
        found[name] = nearest(embedded, rows, 1, context.device)[1][:, 0]
        context.progress(done + 1, len(prototypes.levels))
    return found
