"""SwAV: one view's embedding predicts the assignment of another.

Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments",
NeurIPS 2020, arXiv:2006.09882. The defaults are those of a batch of 256 (appendix A); the paper's
views of two sizes are the variant multicrop in swav.yaml.
"""

from collections.abc import Sequence
from typing import Annotated, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import log_softmax

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
    Encoder,
    FeatureQueue,
    cross_view_entropy,
    embed_views,
    head_artifacts,
    mlp,
    scaling,
    sinkhorn_knopp,
    unit,
    wide,
)

PAPER_PROTOTYPES = 3000
PAPER_SAMPLES = 4096  # assigned together to so many: a batch, or a batch and a queue
ASSIGNING = 2  # the first two full-size views; the others only predict


class SwAVConfig(Settings):
    """Hyperparameters; "auto" is scaled to the data (``sslbench.nn.scaling``)."""

    dim: int = Field(128, ge=1)  # width of an embedding
    hidden_layers: int = Field(1, ge=0)  # of the head, each as wide as a feature
    prototypes: int | Auto = "auto"
    temperature: float = Field(0.1, gt=0)  # of the predictions
    epsilon: float = Field(0.05, gt=0)  # smoothness of the assignments
    rounds: int = Field(3, ge=1)  # of Sinkhorn-Knopp
    queue_size: Annotated[int, Field(ge=0)] | Auto = "auto"  # earlier embeddings per view; 0: none
    queue_from: Annotated[int, Field(ge=0)] | Auto = "auto"  # epoch from which it is used
    frozen_steps: Annotated[int, Field(ge=0)] | Auto = "auto"  # at first, of the prototypes


@register_method("swav")
class SwAV(Method):
    """Each view is assigned to prototypes in equal shares; the others predict its assignment."""

    Config = SwAVConfig
    needs = Needs(views=ASSIGNING, local_views=True)
    version = 1

    def __init__(self, encoder: Encoder, config: SwAVConfig, data: DataInfo) -> None:
        super().__init__(encoder, config, data)
        widths = [encoder.dim] * (1 + config.hidden_layers)
        self.head = mlp(*widths, config.dim, batch_norm=True)
        self.prototypes = nn.Linear(config.dim, settled(config.prototypes), bias=False)
        size = settled(config.queue_size)
        count = ASSIGNING if size else 0
        self.queues = nn.ModuleList(FeatureQueue(size, config.dim) for _ in range(count))

    @classmethod
    def scaled(cls, config: SwAVConfig, data: DataInfo) -> SwAVConfig:
        images, batch_size = data.images, data.batch_size
        prototypes = scaling.prototype_count(
            config.prototypes, PAPER_PROTOTYPES, images, batch_size
        )
        samples = round(PAPER_SAMPLES * prototypes / PAPER_PROTOTYPES)
        return config.model_copy(
            update={
                "prototypes": prototypes,
                "queue_size": scaling.assignment_queue(
                    config.queue_size, samples, images, batch_size
                ),
                "queue_from": scaling.queue_epoch(config.queue_from, data.epochs),
                "frozen_steps": scaling.frozen_steps(
                    config.frozen_steps, data.steps_per_epoch, data.steps
                ),
            }
        )

    def loss(self, batch: Batch, context: Context) -> LossTerms:
        prototypes = self._unit_prototypes()  # M x D
        if context.step < settled(self.config.frozen_steps):
            prototypes = prototypes.detach()
        embeddings = embed_views(batch.views, self.encoder, self.head, unit)  # N x D each
        with torch.autocast(batch.index.device.type, enabled=False):
            # All views in one product: N x M each.
            scores = (torch.cat(embeddings) @ prototypes.T).chunk(len(embeddings))
            assignments = []
            for view in range(ASSIGNING):
                assigned = self._with_queue(view, scores[view], prototypes, context)
                codes = sinkhorn_knopp(assigned, self.config.epsilon, self.config.rounds)
                assignments.append(codes[-len(scores[view]) :])  # N x M, the batch's own
        queues = self._queues()
        for queue, embedding in zip(queues, embeddings[: len(queues)], strict=True):
            queue.push(embedding.detach(), batch.index)
        loss = swapped_prediction(scores, assignments, self.config.temperature)
        return {"swapped_prediction": loss}

    def _unit_prototypes(self) -> Tensor:
        """The prototypes at length 1. The length is taken without gradient, as in the code."""
        weight = self.prototypes.weight
        with torch.no_grad():
            weight.copy_(unit(weight))
        return weight

    @torch.no_grad()
    def _with_queue(
        self, view: int, scores: Tensor, prototypes: Tensor, context: Context
    ) -> Tensor:
        """The batch's scores, behind those of the view's queue once that is in use."""
        # Paper: in use from one epoch on; code: also filled only from then on, so used some steps
        # later than here.
        if not self.queues or context.epoch < settled(self.config.queue_from):
            return scores
        queue = self._queues()[view]
        # Full of embeddings after so many steps; to ask the queue would be to wait for the device.
        if context.step * len(scores) < len(queue):
            return scores
        return torch.cat([queue.features @ prototypes.T, scores])

    def _queues(self) -> list[FeatureQueue]:
        return cast(list[FeatureQueue], list(self.queues))

    def prototype_scores(self, images: Tensor) -> Tensor:
        return unit(self.head(self.encoder(images))) @ unit(self.prototypes.weight).T

    def artifacts(self) -> dict[str, Tensor]:
        """The prototypes, and the head in whose space they lie."""
        prototypes = unit(self.prototypes.weight.detach())
        return {"prototypes_0": prototypes, **head_artifacts(self.head)}


def swapped_prediction(
    scores: Sequence[Tensor], assignments: Sequence[Tensor], temperature: float
) -> Tensor:
    """Cross-entropy of every other view's prediction with each assignment (equations 1 and 2).

    scores: N x M of each view; assignments: N x M of the first views, rows of sum 1. The mean over
    the other views, then over assignments. Raises ConfigError where nothing is to be predicted.
    """
    views, prototypes = len(scores), scores[0].shape[1]
    if views < 2 or prototypes < 2:
        raise ConfigError(
            f"swapped_prediction with {views} views and {prototypes} prototypes is always 0 or "
            "nothing: expected two or more of each"
        )
    with torch.autocast(scores[0].device.type, enabled=False):
        predictions = [log_softmax(wide(view) / temperature, 1) for view in scores]
        return cross_view_entropy(predictions, [q.to(predictions[0]) for q in assignments])
