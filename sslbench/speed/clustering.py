"""A hierarchy of clusters of ImageNet's size, against plain faiss for its first level alone."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sslbench.nn import Level, hierarchical_kmeans
from sslbench.nn.faiss_library import faiss
from sslbench.speed.cases import Setup
from sslbench.speed.measurement import Measurement
from sslbench.speed.timing import Side, figure, in_turn, peak_gib, ratio


@dataclass(frozen=True)
class Hierarchy:
    """The clusterings of one epoch of HCSC, with one start where it takes the best of five."""

    name: str = "clusters_imagenet"
    about: str = "three levels of clusters at ImageNet's size, against faiss for the first of them"
    images: int = 1_281_167
    dim: int = 128
    sizes: tuple[int, ...] = (3000, 2000, 1000)
    iterations: int = 20
    rounds: int = 3  # each takes minutes

    def features(self) -> Tensor:
        """Unit rows, of twice as many kinds as there are clusters: N x D."""
        generator = torch.Generator().manual_seed(0)
        kinds = torch.randn(2 * self.sizes[0], self.dim, generator=generator)
        found = torch.empty(self.images, self.dim)
        for block in torch.split(found, 1 << 16):  # whole, the draws would be held three times
            kind = torch.randint(len(kinds), (len(block),), generator=generator)
            block.normal_(generator=generator).add_(kinds[kind])
            block.div_(block.norm(dim=1, keepdim=True))
        return found

    def sides(self, setup: Setup) -> list[Side]:
        features = self.features()
        return [
            Side("sslbench", lambda: self._ours(features)),
            Side("faiss, first level", lambda: self._plain(features)),
        ]

    def _ours(self, features: Tensor) -> list[Level]:
        return hierarchical_kmeans(
            features, self.sizes, temperature=0.2, iterations=self.iterations, redo=1
        )

    def _plain(self, features: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Centroids, and the nearest to each row."""
        training = faiss.Clustering(self.dim, self.sizes[0])
        training.niter, training.seed = self.iterations, 0
        training.max_points_per_centroid, training.min_points_per_centroid = 1000, 1
        index = faiss.IndexFlatL2(self.dim)
        points = features.numpy()
        training.train(points, index)
        _, nearest = index.search(points, 1)
        centroids = faiss.vector_to_array(training.centroids).reshape(-1, self.dim)
        return centroids, nearest[:, 0]

    def measure(self, setup: Setup) -> Measurement:
        sides = self.sides(setup)
        seconds = in_turn(sides, self.rounds, setup.report)
        ours, plain = seconds.values()
        names = [side.name for side in sides]
        del sides  # and with them the features, which a process of its own makes again
        setup.report("peak memory")
        levels = "-".join(map(str, self.sizes))
        return Measurement(
            title=f"Hierarchical k-means of {self.images:,} x {self.dim} into {levels}, "
            f"{self.iterations} iterations, 1 start",
            unit="s",
            rounds=self.rounds,
            figures={name: figure(times) for name, times in seconds.items()},
            ratios={"against_faiss_first_level": ratio(plain, ours)},
            memory_gib={names[0]: peak_gib(self.name, names[0], setup)},
            note=f"faiss: its k-means into {self.sizes[0]} clusters and the last assignment only. "
            f"Memory: beside the {4 * self.images * self.dim / 2**30:.2f} GiB that are clustered.",
        )


HIERARCHY = Hierarchy()
