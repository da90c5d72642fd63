"""Prototypes of a training set: k-means, concentration, and hierarchies of clusters.

Li et al., "Prototypical Contrastive Learning of Unsupervised Representations", arXiv:2005.04966,
section 3 (concentration: section 3.3); Guo et al., "HCSC: Hierarchical Contrastive Selective
Coding", arXiv:2202.00455, section 3 (hierarchical k-means). k-means is faiss.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from sslbench import distributed
from sslbench.errors import Collapsed, ConfigError, Diverged
from sslbench.nn.faiss_library import faiss
from sslbench.nn.losses import unit

_SMOOTHING = 10  # alpha of PCL's concentration: small clusters shall not look tight
# Squared distance of unit rows up to which they are equal: the rounding of float32, and faiss
# splits a cluster by moving its centroid by 1 / 1024 of its length.
_EQUAL = 1e-6
_BLOCK = 1 << 14  # rows taken at once


@dataclass(frozen=True)
class Partition:
    """What k-means found for n points."""

    centroids: Tensor  # M x D, means, not normalised; spherical: unit rows
    assignment: Tensor  # n, the nearest centroid
    distance: Tensor  # n, squared, to that centroid


@dataclass(frozen=True)
class Level:
    """One clustering of the N training images."""

    assignment: Tensor  # N, the cluster of each image
    prototypes: Tensor  # M x D, unit rows
    concentration: Tensor  # M, of mean temperature; small where a cluster is tight
    kept: Tensor  # M, False for a discarded cluster: no image has it, its prototype is void
    parents: Tensor  # M, the cluster of the next level; all 0 in the last level


def kmeans(
    features: Tensor,
    clusters: int,
    seed: int,
    iterations: int = 20,
    redo: int = 5,
    max_points: int = 1000,
    spherical: bool = False,
) -> Partition:
    """k-means of n x D ``features`` under the L2 distance; the best of ``redo`` starts.

    At most ``max_points`` x ``clusters`` points, drawn by seed, train it; then all are assigned.
    ``spherical`` takes the rows at length 1 and keeps the centroids there, so that the nearest is
    that of the largest cosine. Raises ConfigError for fewer points than clusters, Diverged for
    features that are not finite, Collapsed where all are equal.
    """
    count = len(features)
    if not 1 <= clusters <= count:
        raise ConfigError(
            f"k-means of {count} points into {clusters} clusters: expected 1 to {count} clusters"
        )
    if not torch.stack(features.aminmax()).isfinite().all():  # a NaN is its own extreme
        raise Diverged("the features to cluster are not finite: training has diverged")
    features = unit(features) if spherical else features
    if count > 1 and _variance(features) <= _EQUAL:
        raise Collapsed(f"the {count} features to cluster are all equal: training has collapsed")
    found = distributed.once(
        lambda: _trained(_points(features), clusters, seed, iterations, redo, max_points, spherical)
    )
    return Partition(*(torch.from_numpy(part).to(features.device) for part in found))


def _trained(
    points: np.ndarray,
    clusters: int,
    seed: int,
    iterations: int,
    redo: int,
    max_points: int,
    spherical: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centroids, assignment and squared distances, by faiss."""
    dim = points.shape[1]
    training = faiss.Clustering(dim, clusters)
    training.niter, training.nredo, training.seed = iterations, redo, seed
    training.max_points_per_centroid = max_points
    training.min_points_per_centroid = 1  # below it faiss only prints a warning
    training.spherical = spherical
    index = faiss.IndexFlatIP(dim) if spherical else faiss.IndexFlatL2(dim)
    training.train(points, index)
    centroids = faiss.vector_to_array(training.centroids).reshape(clusters, dim)
    distance, assignment = index.search(points, 1)
    if spherical:
        distance = 2 - 2 * distance  # a cosine -> the squared distance of unit rows
    return centroids, assignment[:, 0], distance[:, 0]


def _variance(features: Tensor) -> Tensor:
    """The mean squared distance of rows from their mean, in blocks, in place: quick, and small."""
    mean = features.mean(0)
    room, total = torch.empty_like(features[:_BLOCK]), features.new_zeros(())
    for block in torch.split(features, _BLOCK):
        total += torch.sub(block, mean, out=room[: len(block)]).square_().sum()
    return total / len(features)


def concentration(partition: Partition, kept: Tensor, temperature: float) -> Tensor:
    """PCL's concentration of each cluster (equation 12), scaled to mean ``temperature``: M.

    Mean distance / ln(size + 10). Paper: no more than that; code: clusters of one point get the
    largest value, and all are clipped to the 10th to 90th percentile. Raises ConfigError where
    every cluster has one point or equal points, so that there is nothing to scale, and where the
    10th percentile is 0, by which a prototype cannot be divided.
    """
    clusters = len(partition.centroids)
    sizes = partition.assignment.bincount(minlength=clusters)
    squared = partition.distance.double()
    distance = torch.where(squared > _EQUAL, squared, 0.0).sqrt()
    total = distance.new_zeros(clusters).index_add_(0, partition.assignment, distance)
    spread = total / sizes.clamp_min(1) / (sizes + _SMOOTHING).double().log()
    spread = torch.where(sizes > 1, spread, 0.0)
    largest = spread.max()
    if not largest > 0:
        raise ConfigError(
            f"{clusters} clusters of {len(distance)} points have no spread: each has one point or "
            "equal points, so concentration is 0 / 0. Use fewer clusters in params.clusters"
        )
    spread = torch.where(sizes > 1, spread, largest)[kept]
    bounds = spread.new_tensor([0.1, 0.9])
    low, high = spread.quantile(bounds).unbind()
    if not low > 0:
        raise ConfigError(
            f"{int((spread == 0).sum())} of {len(spread)} clusters hold nothing but equal points, "
            "more than the tenth that clipping mends: their concentration is 0. Use fewer clusters "
            "in params.clusters, or remove the copies from the training images"
        )
    spread = spread.clamp(low, high)
    scaled = torch.ones(clusters, device=distance.device)
    scaled[kept] = (temperature * spread / spread.mean()).float()
    return scaled


def independent_kmeans(
    features: Tensor,
    sizes: Sequence[int],
    temperature: float,
    min_size: int = 0,
    iterations: int = 20,
    redo: int = 5,
) -> list[Level]:
    """One clustering of N x D unit ``features`` per size, each on its own.

    The parent of a cluster is the next clustering's nearest prototype. ``iterations`` and ``redo``
    are those of ``kmeans``.
    """
    levels = []
    for number, clusters in enumerate(sizes):  # the released code's seeds
        partition = kmeans(features, clusters, number, iterations, redo)
        level, _ = _level(features, partition, partition.assignment, temperature, min_size)
        levels.append(level)
    for number, (lower, upper) in enumerate(pairwise(levels)):
        likeness = (lower.prototypes @ upper.prototypes.T).masked_fill(~upper.kept, -torch.inf)
        levels[number] = replace(lower, parents=likeness.argmax(1))
    return levels


def hierarchical_kmeans(
    features: Tensor,
    sizes: Sequence[int],
    temperature: float,
    min_size: int = 0,
    iterations: int = 20,
    redo: int = 5,
) -> list[Level]:
    """Clusters of N x D unit ``features``, clusters of their prototypes, and so on; finest first.

    An image has the cluster of its cluster: it is not searched again in the upper levels. Clusters
    of fewer than ``min_size`` images are discarded, and their points go to the nearest cluster
    that is left. ``iterations`` and ``redo`` are those of ``kmeans``. Raises ConfigError where a
    level has more clusters than points.
    """
    levels: list[Level] = []
    for number, clusters in enumerate(sizes):
        if not levels:
            partition = kmeans(features, clusters, number, iterations, redo)
            level, _ = _level(features, partition, partition.assignment, temperature, min_size)
            levels.append(level)
            continue
        below = levels[-1]
        points = below.prototypes[below.kept]
        if len(points) <= clusters:  # each would be a cluster of its own
            raise ConfigError(
                f"params.min_cluster_size = {min_size} leaves {len(points)} of {len(below.kept)} "
                f"clusters, not more than the next level's {clusters}. Lower it, or lower the "
                "upper sizes in params.clusters"
            )
        partition = kmeans(points, clusters, number, iterations, redo)
        place = below.kept.cumsum(0) - 1  # of a kept cluster among the points
        children = place[below.assignment]  # N
        images = partition.assignment[children]
        level, assigned = _level(points, partition, images, temperature, min_size)
        levels[-1] = replace(below, parents=assigned[place.clamp_min(0)] * below.kept)
        levels.append(replace(level, assignment=assigned[children]))
    return levels


def _level(
    points: Tensor, partition: Partition, images: Tensor, temperature: float, min_size: int
) -> tuple[Level, Tensor]:
    """The level of a partition of ``points`` and the points' clusters; ``images``: N, by image."""
    members = images.bincount(minlength=len(partition.centroids))
    kept = members >= min_size
    if not kept.all():
        if kept.sum() < 2:
            raise ConfigError(
                f"params.min_cluster_size = {min_size} leaves {int(kept.sum())} of {len(kept)} "
                f"clusters (their mean size is {members.float().mean():.1f}); at least 2 are needed"
            )
        partition = _reassigned(points, partition, kept)
    prototypes = unit(partition.centroids) * kept[:, None]
    phi = concentration(partition, kept, temperature)
    assigned = partition.assignment
    return Level(assigned, prototypes, phi, kept, torch.zeros_like(members)), assigned


def _reassigned(points: Tensor, partition: Partition, kept: Tensor) -> Partition:
    """All points at the nearest centroid that is kept."""
    index = faiss.IndexFlatL2(points.shape[1])
    index.add(_points(partition.centroids[kept]))
    distance, nearest = index.search(_points(points), 1)
    ids = kept.nonzero()[:, 0]
    assignment = ids[torch.from_numpy(nearest[:, 0]).to(ids.device)]
    return Partition(
        partition.centroids, assignment, torch.from_numpy(distance[:, 0]).to(points.device)
    )


def _points(features: Tensor) -> np.ndarray:
    return np.ascontiguousarray(features.detach().cpu().numpy(), dtype=np.float32)


class Clusters(nn.Module):
    """The clusterings of one epoch as buffers of final shape, so that a checkpoint holds them."""

    assignment: Tensor  # levels x N
    prototypes: Tensor  # M_0 + M_1 + ... x D; the next three are of the same length
    concentration: Tensor
    kept: Tensor
    parents: Tensor
    ready: Tensor  # whether anything has been stored

    def __init__(self, images: int, sizes: Sequence[int], dim: int) -> None:
        super().__init__()
        self.sizes = list(sizes)
        total = sum(sizes)
        self.register_buffer("assignment", torch.zeros(len(sizes), images, dtype=torch.long))
        self.register_buffer("prototypes", torch.zeros(total, dim))
        self.register_buffer("concentration", torch.ones(total))
        self.register_buffer("kept", torch.ones(total, dtype=torch.bool))
        self.register_buffer("parents", torch.zeros(total, dtype=torch.long))
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def store(self, levels: Sequence[Level]) -> None:
        """Replace all clusterings. Shapes must be those of construction."""
        self.assignment.copy_(torch.stack([level.assignment for level in levels]))
        self.prototypes.copy_(torch.cat([level.prototypes for level in levels]))
        self.concentration.copy_(torch.cat([level.concentration for level in levels]))
        self.kept.copy_(torch.cat([level.kept for level in levels]))
        self.parents.copy_(torch.cat([level.parents for level in levels]))
        self.ready.fill_(True)

    def levels(self) -> list[Level]:
        """The clusterings, finest first in HCSC; views of the buffers."""
        found, start = [], 0
        for assignment, size in zip(self.assignment, self.sizes, strict=True):
            rows = slice(start, start + size)
            tables = (self.prototypes, self.concentration, self.kept, self.parents)
            found.append(Level(assignment, *(table[rows] for table in tables)))
            start += size
        return found

    def artifacts(self) -> dict[str, Tensor]:
        """Prototypes and parents by level; nothing before the first clustering."""
        if not self.ready:
            return {}
        found = {}
        for number, level in enumerate(self.levels()):
            found[f"prototypes_{number}"] = level.prototypes.clone()
            found[f"parents_{number}"] = level.parents.clone()
        return found
