"""DeepCluster v2: clusters of last epoch's embeddings are this epoch's classes.

Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments",
arXiv:2006.09882, section 4.1 and appendix, which renews "Deep Clustering for Unsupervised Learning
of Visual Features", ECCV 2018, arXiv:1807.05520. Views, head and optimiser are SwAV's.
"""

from collections.abc import Sequence
from typing import cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sslbench.api import (
    Auto,
    Batch,
    ConfigError,
    Context,
    DataInfo,
    LossTerms,
    Method,
    Needs,
    Settings,
    register_method,
    settled,
)
from sslbench.nn import (
    Clusters,
    Encoder,
    Level,
    MemoryBank,
    embed_views,
    head_artifacts,
    kmeans,
    mlp,
    scaling,
    unit,
    wide,
)

PAPER_CLUSTERS = (3000, 3000, 3000)
BANKS = 2  # of the first two full-size views


class DeepClusterConfig(Settings):
    """Hyperparameters; "auto" is scaled to the data (``sslbench.nn.scaling``)."""

    dim: int = Field(128, ge=1)  # width of an embedding
    hidden_layers: int = Field(1, ge=0)  # of the head, each as wide as a feature
    clusters: tuple[int, ...] | Auto = "auto"  # sizes of the clusterings, each a classifier
    iterations: int = Field(10, ge=1)  # of k-means
    temperature: float = Field(0.1, gt=0)


@register_method("deepcluster")
class DeepCluster(Method):
    """Every view is classified by the centroids; an image's cluster is its class."""

    Config = DeepClusterConfig
    needs = Needs(views=BANKS, local_views=True)
    version = 1

    def __init__(self, encoder: Encoder, config: DeepClusterConfig, data: DataInfo) -> None:
        super().__init__(encoder, config, data)
        widths = [encoder.dim] * (1 + config.hidden_layers)
        self.head = mlp(*widths, config.dim, batch_norm=True)
        self.banks = nn.ModuleList(MemoryBank(data.images, config.dim) for _ in range(BANKS))
        self.clusters = Clusters(data.images, settled(config.clusters), config.dim)

    @classmethod
    def scaled(cls, config: DeepClusterConfig, data: DataInfo) -> DeepClusterConfig:
        sizes = config.clusters
        if sizes == "auto":
            sizes = tuple(
                scaling.prototype_count("auto", paper, data.images, data.batch_size)
                for paper in PAPER_CLUSTERS
            )
        scaling.check_sizes(sizes, data.images, last_prototype=True)
        return config.model_copy(update={"clusters": sizes})

    def on_epoch_start(self, context: Context) -> None:
        banks = self._banks()
        if not self.clusters.ready:
            # Code: a pass over the training set in training mode, with its random views.
            features = context.embed(lambda images: unit(self.head(self.encoder(images))))
            for bank in banks:
                bank.update(torch.arange(len(bank), device=features.device), features)
        levels = []
        for number, size in enumerate(settled(self.config.clusters)):
            features = banks[number % BANKS].whole()  # images x D
            levels.append(_clustered(features, size, number, self.config.iterations))
        self.clusters.store(levels)

    def loss(self, batch: Batch, context: Context) -> LossTerms:
        embeddings = [unit(z) for z in embed_views(batch.views, self.encoder, self.head)]  # N x D
        # Images that an epoch leaves out (its last batch would not be full) keep their older rows.
        for bank, embedding in zip(self._banks(), embeddings[:BANKS], strict=True):
            bank.update(batch.index, embedding)
        losses = [
            cluster_prediction(
                embeddings,
                level.prototypes,
                level.assignment[batch.index],
                self.config.temperature,
            )
            for level in self.clusters.levels()
        ]
        return {"cluster_prediction": torch.stack(losses).mean()}

    def _banks(self) -> list[MemoryBank]:
        return cast(list[MemoryBank], list(self.banks))

    def artifacts(self) -> dict[str, Tensor]:
        """The prototypes of each clustering, and the head in whose space they lie.

        Clusterings stand side by side, so no prototype has parents.
        """
        found = self.clusters.artifacts()
        found = {name: rows for name, rows in found.items() if name.startswith("prototypes")}
        return {**found, **head_artifacts(self.head)} if found else {}


def _clustered(features: Tensor, size: int, seed: int, iterations: int) -> Level:
    """Spherical k-means of N x D ``features`` as a level that nothing is scaled in."""
    found = kmeans(features, size, seed, iterations=iterations, redo=1, spherical=True)
    sizes = found.assignment.bincount(minlength=size)  # M
    return Level(
        assignment=found.assignment,
        prototypes=found.centroids,
        concentration=torch.ones_like(sizes, dtype=torch.float32),
        kept=torch.ones_like(sizes, dtype=torch.bool),
        parents=torch.zeros_like(sizes),
    )


def cluster_prediction(
    embeddings: Sequence[Tensor], prototypes: Tensor, assignment: Tensor, temperature: float
) -> Tensor:
    """Cross-entropy that picks an image's prototype out of all by cosine, mean over all views.

    embeddings: N x D unit rows of each view; prototypes: M x D unit rows; assignment: N. Raises
    ConfigError for a single prototype, of which none is to be picked.
    """
    if len(prototypes) < 2:
        raise ConfigError(
            f"cluster_prediction with {len(prototypes)} prototypes is always 0: expected at least 2"
        )
    with torch.autocast(prototypes.device.type, enabled=False):
        views = torch.cat(list(embeddings))  # VN x D
        views = wide(views)
        logits = views @ prototypes.to(views).T / temperature  # VN x M
        return cross_entropy(logits, assignment.repeat(len(embeddings)))
