"""PCL: Prototypical Contrastive Learning.

Li et al., "Prototypical Contrastive Learning of Unsupervised Representations", ICLR 2021,
arXiv:2005.04966. The defaults are those of PCL v2 (its MLP head and augmentations are MoCo v2's);
v1 and the released code's choice of negatives are variants in pcl.yaml.
"""

from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

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
    distinct,
    register_method,
    settled,
)
from sslbench.nn import (
    Clusters,
    Encoder,
    FeatureQueue,
    Level,
    MomentumCopy,
    head_artifacts,
    independent_kmeans,
    info_nce,
    mlp,
    pairs,
    proto_nce,
    scaling,
    shuffled,
    unit,
)

PAPER_NEGATIVES = 16_384  # keys in the queue, and prototypes drawn at each clustering
IMAGES_PER_CLUSTER = (51, 26, 13)  # 25,000, 50,000 and 100,000 clusters of ImageNet

# What a query is drawn to: its own key, its prototype in every clustering.
Positive = Literal["instance", "prototype"]


class PCLConfig(Settings):
    """Hyperparameters; "auto" is scaled to the data (``sslbench.nn.scaling``)."""

    dim: int = Field(128, ge=1)  # width of an embedding
    hidden_layers: int = Field(1, ge=0)  # of the head, each as wide as a feature; v1 has none
    queue_size: Annotated[int, Field(ge=1)] | Auto = "auto"
    momentum: Annotated[float, Field(ge=0, lt=1)] | Auto = "auto"  # of the key encoder
    temperature: float = Field(0.2, gt=0)  # of the keys, and mean of the concentrations
    clusters: tuple[int, ...] | Auto = "auto"  # sizes of the clusterings
    clusterings: int = Field(3, ge=1)  # how many of them where ``clusters`` is "auto"
    warmup_epochs: Annotated[int, Field(ge=0)] | Auto = "auto"  # without clusters; own keys only
    positives: Annotated[tuple[Positive, ...], Field(min_length=1), AfterValidator(distinct)] = (
        "instance",
        "prototype",
    )
    negatives: Annotated[int, Field(ge=1)] | Auto = "auto"  # prototypes drawn per step, at most
    exclusion: pairs.Exclusion = "own"  # whose prototypes are no candidates of the draw
    last_prototype: bool = True  # False: the code before May 2022 never drew it


@register_method("pcl")
class PCL(Method):
    """MoCo, and each query against its prototype in several clusterings of the training set."""

    Config = PCLConfig
    needs = Needs(views=2)
    version = 1

    def __init__(self, encoder: Encoder, config: PCLConfig, data: DataInfo) -> None:
        super().__init__(encoder, config, data)
        self.head = mlp(*[encoder.dim] * (1 + config.hidden_layers), config.dim)
        self.key_encoder = MomentumCopy(self.encoder, self.head)
        self.queue = FeatureQueue(settled(config.queue_size), config.dim)
        self.clusters = Clusters(data.images, settled(config.clusters), config.dim)

    @classmethod
    def scaled(cls, config: PCLConfig, data: DataInfo) -> PCLConfig:
        least = scaling.least_clusters(config.last_prototype)
        rule = scaling.clustering_sizes(IMAGES_PER_CLUSTER, data.images, least)
        if config.clusters == "auto" and config.clusterings > len(rule):
            raise ConfigError(
                f"params.clusterings = {config.clusterings}: the rule for params.clusters knows "
                f"{len(rule)}. Nearest that works: {len(rule)}, or give the sizes in "
                "params.clusters"
            )
        sizes = rule[: config.clusterings] if config.clusters == "auto" else config.clusters
        scaling.check_sizes(sizes, data.images, config.last_prototype)
        if config.exclusion == "batch":
            scaling.check_batch_exclusion(sizes, data.batch_size, config.last_prototype)
        others = max(sizes) - least + 1
        drawn = min(PAPER_NEGATIVES, others) if config.negatives == "auto" else config.negatives
        if drawn > others:
            raise ConfigError(
                f"params.negatives = {drawn}, but the largest clustering has {others} prototypes "
                f"beside a query's own. Nearest that works: {others}"
            )
        queue = scaling.queue_size(config.queue_size, 16_384, data.images, data.batch_size)
        return config.model_copy(
            update={
                "queue_size": queue,
                "momentum": scaling.key_momentum(config.momentum, 0.999, data.steps),
                "clusters": sizes,
                "clusterings": len(sizes),
                "warmup_epochs": scaling.warmup_epochs(config.warmup_epochs, data.epochs),
                "negatives": drawn,
            }
        )

    def on_epoch_start(self, context: Context) -> None:
        if context.epoch < settled(self.config.warmup_epochs):
            return
        features = context.embed(lambda images: unit(self.key_encoder(images)))
        sizes = settled(self.config.clusters)
        levels = independent_kmeans(features, sizes, self.config.temperature)
        pairs.check_candidates(levels, self.config.last_prototype)
        self.clusters.store(levels)

    def loss(self, batch: Batch, context: Context) -> LossTerms:
        query_view, key_view = batch.views[:2]
        query = unit(self.head(self.encoder(query_view)))  # N x D

        with torch.no_grad():
            momentum = settled(self.config.momentum)
            self.key_encoder.update(self.encoder, self.head, momentum=momentum)
            order = context.permutation(len(key_view))
            key = unit(shuffled(self.key_encoder, key_view, order))  # N x D

        terms: LossTerms = {}
        clustered = context.epoch >= settled(self.config.warmup_epochs)
        if "instance" in self.config.positives or not clustered:
            queue = self.queue.features
            terms["info_nce"] = info_nce(query, key, queue, self.config.temperature)
        self.queue.push(key, batch.index)
        if "prototype" in self.config.positives and clustered:
            terms["proto_nce"] = self._proto_nce(query, batch.index, context)
        return terms

    def _proto_nce(self, query: Tensor, index: Tensor, context: Context) -> Tensor:
        """The mean over clusterings of each query against drawn prototypes (equation 11)."""
        losses = []
        for level in self.clusters.levels():
            positive = level.assignment[index]  # N
            columns, counts = self._negatives(level, positive, context)
            losses.append(
                proto_nce(
                    query, level.prototypes, level.concentration, positive, counts, columns=columns
                )
            )
        return torch.stack(losses).mean()

    def _negatives(self, level: Level, positive: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """K prototypes to compare with, and N x K: which of them are negatives of which query."""
        limit = settled(self.config.negatives)
        allowed = pairs.candidates(
            level, positive, self.config.exclusion, self.config.last_prototype
        )
        if self.config.exclusion == "own":
            # Paper: the negatives of each query are drawn from all other prototypes. One draw
            # serves the batch: with one to spare, for the queries whose own prototype is in it.
            count = len(level.prototypes) - (not self.config.last_prototype)
            columns = context.choice(count, min(limit + 1, count)).to(positive)
            counts = allowed[:, columns]
            own_drawn = (columns == positive[:, None]).any(1)
            counts[:, -1] &= own_drawn
            return columns, counts
        # Code: drawn from what the batch leaves free; the other images' prototypes are negatives
        # as well, even where another image's prototype is the query's own.
        free = allowed.nonzero()[:, 0]
        count = min(limit, len(free))
        drawn = free[context.choice(len(free), count).to(free)] if count else free
        columns = torch.cat([positive, drawn])
        own = torch.arange(len(positive), device=columns.device)[:, None]
        return columns, torch.arange(len(columns), device=columns.device) != own

    def artifacts(self) -> dict[str, Tensor]:
        """Prototypes and their parents, and the head in whose space they lie."""
        found = self.clusters.artifacts()
        return {**found, **head_artifacts(self.head)} if found else {}
