"""Images described by their cosines with prototypes, and by what prototypes compete with."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sslbench.errors import Collapsed, NotApplicable
from sslbench.nn.clustering import kmeans
from sslbench.nn.losses import unit
from sslbench.nn.prototypes import Prototypes

Rows = tuple[Tensor, Tensor]  # of training and test images, N x M each

# By cosines with prototypes; by features; by cosines with centroids of k-means in the space of the
# prototypes, and in that of the features, as many as there are prototypes.
DESCRIPTIONS = ("prototypes", "features", "kmeans", "feature_kmeans")


@dataclass(frozen=True)
class Described:
    """Training and test images, and the prototypes of the run that made their features."""

    prototypes: Prototypes
    train: Tensor  # N x C, features; k-means clusters these images
    test: Tensor
    seed: Callable[[str], int]  # of the k-means beside a level of prototypes, for faiss

    def by(self, description: str) -> Rows:
        """A row per image. Raises NotApplicable for fewer training images than prototypes."""
        if description == "features":
            return self.train, self.test
        if description == "feature_kmeans":
            return self._cosines(unit(self.train), unit(self.test), self._centroids)
        train, test = (self.prototypes.embedded(part).cpu() for part in (self.train, self.test))
        known = description == "prototypes"
        return self._cosines(train, test, self._prototypes if known else self._centroids)

    def _cosines(self, train: Tensor, test: Tensor, find: Callable[[Tensor], Tensor]) -> Rows:
        references = find(train)
        return train @ references.T, test @ references.T

    def _prototypes(self, train: Tensor) -> Tensor:
        return unit(torch.cat(list(self.prototypes.levels.values())).to(train.device))

    def _centroids(self, train: Tensor) -> Tensor:
        """As many as there are prototypes, level by level: M x D, unit rows."""
        found = []
        for name, level in self.prototypes.levels.items():
            if len(level) > len(train):
                raise NotApplicable(
                    f"{len(level):,} prototypes, more than the {len(train):,} training images "
                    "that k-means would have to make as many clusters of"
                )
            try:
                found.append(unit(kmeans(train, len(level), self.seed(name)).centroids))
            except Collapsed:  # all rows are one, and so are their centroids
                found.append(train[:1].expand(len(level), -1))
        return torch.cat(found)
