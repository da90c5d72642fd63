"""HCSC: Hierarchical Contrastive Selective Coding.

Guo et al., "HCSC: Hierarchical Contrastive Selective Coding", CVPR 2022, arXiv:2202.00455. The
defaults follow the paper, but keep small clusters (``min_cluster_size``) as the released code does.
That differs in four further settings, which the variant released-code in hcsc.yaml names.
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
    PrototypeSelection,
    QueueSelection,
    head_artifacts,
    hierarchical_kmeans,
    independent_kmeans,
    info_nce,
    mlp,
    pairs,
    proto_nce,
    scaling,
    shuffled,
    unit,
)

PAPER_CLUSTERS = (3000, 2000, 1000)

# What a query is drawn to: its own key, its prototype at every level, the queue's row nearest to
# its own key (arXiv:2104.14548).
Positive = Literal["instance", "prototype", "nearest"]


class HCSCConfig(Settings):
    """Hyperparameters; "auto" is scaled to the data (``sslbench.nn.scaling``)."""

    dim: int = Field(128, ge=1)  # width of an embedding
    hidden_layers: int = Field(1, ge=0)  # of the head, each as wide as a feature
    queue_size: Annotated[int, Field(ge=1)] | Auto = "auto"
    momentum: Annotated[float, Field(ge=0, lt=1)] | Auto = "auto"  # of the key encoder
    temperature: float = Field(0.2, gt=0)  # of the keys, and mean of the concentrations
    clusters: tuple[int, ...] | Auto = "auto"  # sizes of the levels, finest first
    levels: int = Field(3, ge=1)  # how many of them where ``clusters`` is "auto"
    hierarchy: Literal["hierarchical", "independent"] = "hierarchical"
    min_cluster_size: int = Field(0, ge=0)  # images; a smaller cluster is discarded
    warmup_epochs: Annotated[int, Field(ge=0)] | Auto = "auto"  # without clusters; own keys only
    positives: Annotated[tuple[Positive, ...], Field(min_length=1), AfterValidator(distinct)] = (
        "instance",
        "prototype",
    )
    instance_negatives: pairs.Selection = "semantic"
    prototype_negatives: pairs.Selection = "semantic"
    local_selection: bool = True  # whether selected keys are also those of local views
    rejected: Literal["remove", "zero"] = "remove"  # what becomes of a rejected negative's logit
    level_reduction: Literal["mean", "sum"] = "mean"  # of the instance term
    last_prototype: bool = True  # whether it can be a negative
    exclusion: pairs.Exclusion = "own"  # whose prototypes are no negatives of a query


@register_method("hcsc")
class HCSC(Method):
    """MoCo and PCL over a hierarchy of prototypes, with negatives selected by semantics."""

    Config = HCSCConfig
    needs = Needs(views=2, local_views=True)
    version = 3

    def __init__(self, encoder: Encoder, config: HCSCConfig, data: DataInfo) -> None:
        super().__init__(encoder, config, data)
        self.head = mlp(*[encoder.dim] * (1 + config.hidden_layers), config.dim)
        self.key_encoder = MomentumCopy(self.encoder, self.head)
        self.queue = FeatureQueue(settled(config.queue_size), config.dim)
        self.clusters = Clusters(data.images, settled(config.clusters), config.dim)
        instances = pairs.INSTANCE_NEGATIVES[config.instance_negatives]
        prototypes = pairs.PROTOTYPE_NEGATIVES[config.prototype_negatives]
        self.of_queue = None if instances is None else QueueSelection(instances)
        self.of_prototypes = None if prototypes is None else PrototypeSelection(prototypes)

    @classmethod
    def scaled(cls, config: HCSCConfig, data: DataInfo) -> HCSCConfig:
        least = scaling.least_clusters(config.last_prototype)
        rule = scaling.hierarchy_sizes(PAPER_CLUSTERS, data.images, data.batch_size, least)
        if config.clusters == "auto" and config.levels > len(rule):
            raise ConfigError(
                f"params.levels = {config.levels}: the rule for params.clusters knows {len(rule)} "
                f"levels. Nearest that works: {len(rule)}, or give the sizes in params.clusters"
            )
        sizes = rule[: config.levels] if config.clusters == "auto" else config.clusters
        scaling.check_sizes(
            sizes, data.images, config.last_prototype, config.hierarchy == "hierarchical"
        )
        scaling.check_min_cluster_size(config.min_cluster_size, sizes, data.images)
        if config.exclusion == "batch":
            scaling.check_batch_exclusion(sizes, data.batch_size, config.last_prototype)
        queue = scaling.queue_size(config.queue_size, 16_384, data.images, data.batch_size)
        return config.model_copy(
            update={
                "queue_size": queue,
                "momentum": scaling.key_momentum(config.momentum, 0.999, data.steps),
                "clusters": sizes,
                "levels": len(sizes),
                "warmup_epochs": scaling.warmup_epochs(config.warmup_epochs, data.epochs),
            }
        )

    def on_epoch_start(self, context: Context) -> None:
        if context.epoch < settled(self.config.warmup_epochs):
            return
        config = self.config
        features = context.embed(lambda images: unit(self.key_encoder(images)))
        hierarchical = config.hierarchy == "hierarchical"
        cluster = hierarchical_kmeans if hierarchical else independent_kmeans
        sizes = settled(config.clusters)
        levels = cluster(features, sizes, config.temperature, config.min_cluster_size)
        pairs.check_candidates(levels, config.last_prototype)
        self.clusters.store(levels)

    def loss(self, batch: Batch, context: Context) -> LossTerms:
        query_view, key_view, *local_views = batch.views
        query = unit(self.head(self.encoder(query_view)))  # N x D
        local_queries = [unit(self.head(self.encoder(view))) for view in local_views]

        with torch.no_grad():
            momentum = settled(self.config.momentum)
            self.key_encoder.update(self.encoder, self.head, momentum=momentum)
            order = context.permutation(len(key_view))
            key = unit(shuffled(self.key_encoder, key_view, order))  # N x D

        terms: LossTerms = {}
        clustered = context.epoch >= settled(self.config.warmup_epochs)
        levels = self.clusters.levels() if clustered else []
        # Section 3.3 of the paper: prototypes first, then instances.
        with_prototypes = bool(levels) and "prototype" in self.config.positives
        if with_prototypes:
            terms["prototype"] = self._prototype_term(query, batch.index, levels, context)
        targets = self._targets(key, clustered)
        kept = self._kept_keys(batch.index, levels, context) if targets else None
        # Every local view is a further query; it shares the selected keys, not the prototypes'.
        shared = kept if self.config.local_selection else None
        for name, (positive, itself) in targets.items():
            terms[name] = self._instance_term(query, positive, itself, kept)
            if local_queries:
                local = [self._instance_term(q, positive, itself, shared) for q in local_queries]
                terms[f"local_{name}"] = torch.stack(local).sum()
        if local_queries and with_prototypes:
            local = [self._prototype_term(q, batch.index, levels, context) for q in local_queries]
            terms["local_prototype"] = torch.stack(local).sum()
        self.queue.push(key, batch.index)
        if self.of_queue is not None:
            self.of_queue.pushed(len(key), self.queue)
        return terms

    def _targets(self, key: Tensor, clustered: bool) -> dict[str, tuple[Tensor, Tensor | None]]:
        """Positives among instances (N x D), each with its row in the queue if it is there.

        Before there are clusters the queue may hold noise, and a query's positive is its own key.
        """
        found: dict[str, tuple[Tensor, Tensor | None]] = {}
        if "instance" in self.config.positives or not clustered:
            found["instance"] = (key, None)
        if "nearest" in self.config.positives and clustered:
            row = pairs.nearest(key, self.queue.features)  # N
            found["nearest"] = (self.queue.features[row], row)
        return found

    def _kept_keys(self, index: Tensor, levels: list[Level], context: Context) -> Tensor | None:
        """levels x N x K, which keys of the queue count; None where all do."""
        if self.of_queue is None or not levels:
            return None
        tables = self.of_queue.probabilities(levels, self.queue)
        masks = [
            context.bernoulli(table, level.assignment[index])
            for level, table in zip(levels, tables, strict=True)
        ]
        return torch.stack(masks)

    def _instance_term(
        self, query: Tensor, positive: Tensor, itself: Tensor | None, kept: Tensor | None
    ) -> Tensor:
        """InfoNCE once per level. Paper: their mean; code: their sum."""
        config, queue = self.config, self.queue.features
        losses = info_nce(query, positive, queue, config.temperature, kept, config.rejected, itself)
        return losses.mean() if config.level_reduction == "mean" else losses.sum()

    def _prototype_term(
        self, query: Tensor, index: Tensor, levels: list[Level], context: Context
    ) -> Tensor:
        """The mean over levels of ProtoNCE against selected prototypes."""
        config, everything = self.config, [None] * len(levels)
        chosen = self.of_prototypes
        tables = everything if chosen is None else chosen.probabilities(levels)
        losses = []
        for number, (level, table) in enumerate(zip(levels, tables, strict=True)):
            positive = level.assignment[index]  # N
            allowed = pairs.candidates(level, positive, config.exclusion, config.last_prototype)
            if config.exclusion == "batch":
                context.log(f"free_prototypes_{number}", allowed.sum())
            parents = level.parents[positive]  # N
            keep = None if table is None else context.bernoulli(table, parents)
            losses.append(
                proto_nce(
                    query,
                    level.prototypes,
                    level.concentration,
                    positive,
                    allowed,
                    keep,
                    config.rejected,
                )
            )
        return torch.stack(losses).mean()

    def artifacts(self) -> dict[str, Tensor]:
        """Prototypes and their parents, and the head in whose space they lie."""
        found = self.clusters.artifacts()
        return {**found, **head_artifacts(self.head)} if found else {}
