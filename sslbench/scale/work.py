"""The floating-point operations of an epoch: counted on a step, and by formula for k-means."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sslbench.data.images import HeldImages
from sslbench.nn import Clusters, kmeans
from sslbench.plan import Planned
from sslbench.scale.rows import planned, without_memory
from sslbench.speed.methods import stepped

IMAGES, BATCH = 64, 4  # of the step that is counted, of which an epoch is a multiple
_DEFAULTS = {name: p.default for name, p in inspect.signature(kmeans).parameters.items()}

_FLOAT, _FOUND = 4, 12  # bytes of a number, and of a cluster with its distance


@dataclass(frozen=True)
class KMeans:
    """One clustering of an epoch. ``starts``: the best of so many is taken."""

    points: int
    clusters: int
    dim: int
    iterations: int = _DEFAULTS["iterations"]
    starts: int = _DEFAULTS["redo"]
    max_points: int = _DEFAULTS["max_points"]  # a cluster, that it is trained on

    @property
    def trained_on(self) -> int:
        return min(self.points, self.max_points * self.clusters)

    @property
    def flop(self) -> float:
        """A product with all centroids per point and iteration, and once more for the result."""
        products = self.starts * self.iterations * self.trained_on + self.points
        return 2.0 * products * self.clusters * self.dim

    @property
    def bytes(self) -> int:
        """Points, those that it is trained on, centroids, and the nearest with its distance."""
        rows = self.points + self.trained_on + self.clusters
        return _FLOAT * rows * self.dim + _FOUND * self.points

    @property
    def bytes_per_image(self) -> int:
        """Features of all images on each rank; on rank 0 faiss' copy, and what it finds."""
        return 2 * _FLOAT * self.dim + _FOUND


def clusterings(row: Planned, images: int) -> list[KMeans]:
    """Those at the start of an epoch, of so many images; none where a method has no clusters.

    How often and from how many starts is k-means' own default but where settings say otherwise;
    DeepCluster alone takes one start.
    """
    method = without_memory(row)
    found = [module for module in method.modules() if isinstance(module, Clusters)]
    settings = method.config
    hierarchical = getattr(settings, "hierarchy", None) == "hierarchical"
    works = []
    for clusters in found:
        points = images
        for size in clusters.sizes:
            works.append(
                KMeans(
                    points,
                    size,
                    settings.dim,
                    getattr(settings, "iterations", _DEFAULTS["iterations"]),
                    1 if row.config.method == "deepcluster" else _DEFAULTS["redo"],
                )
            )
            points = size if hierarchical else points
    return works


def flop_per_image(label: str) -> float:
    """Of training, one epoch: every view forwards and, where it is learnt from, backwards."""
    row = planned(label, IMAGES, {"batch_size": BATCH, "epochs": 2})
    step = stepped(row, _noise(IMAGES, row.data.image_size))
    return _counted(step) / BATCH


def _counted(work: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def _noise(images: int, size: int) -> HeldImages:
    generator = torch.Generator().manual_seed(0)
    pixels: Tensor = torch.randint(256, (images, 3, size, size), generator=generator)
    return HeldImages(pixels.to(torch.uint8))
