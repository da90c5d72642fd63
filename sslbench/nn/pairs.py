"""Pair selection: which negatives count, by name.

The selectors are those of Guo et al., "HCSC: Hierarchical Contrastive Selective Coding",
arXiv:2202.00455, section 3.3. A selector is a pure function of tensors that gives a table of
probabilities, for ``context.bernoulli`` to draw from. There is none where everything is kept.
``nearest`` finds the positives of Dwibedi et al., "With a Little Help from My Friends",
arXiv:2104.14548, section 3.2.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from sslbench.errors import ConfigError
from sslbench.nn.clustering import Level
from sslbench.nn.losses import unit

Selection = Literal["all", "semantic"]
# Which prototypes are no negatives of a query: its own, or those of every image in the batch.
Exclusion = Literal["own", "batch"]

# a level of M clusters, embeddings of the negatives (K x D) -> M x K.
InstanceSelector = Callable[[Level, Tensor], Tensor]
# a level of M clusters, the next one, of M' -> M' x M.
PrototypeSelector = Callable[[Level, Level], Tensor]

_SIMILARITIES = 1 << 25  # held at once by ``nearest``: 128 MiB in fp32


@torch.no_grad()
def semantic_instances(level: Level, negatives: Tensor) -> Tensor:
    """How probably a query of each cluster keeps a negative: M x K.

    The likelier the negative is of that cluster, the less. negatives: K x D unit rows.
    """
    sharpness = 1 / level.concentration.clamp_min(1e-3)
    return (1 - _shares(level, sharpness, negatives)).clamp_max_(0.999)


@torch.no_grad()
def semantic_prototypes(level: Level, upper: Level) -> Tensor:
    """How probably a query whose own prototype has each parent keeps a prototype: M of upper x M.

    The likelier the prototype is of that parent, the less.
    """
    share = _shares(upper, 1 / upper.concentration, level.prototypes)
    return (1 - share).clamp_(1e-4, 0.999)


def _shares(level: Level, sharpness: Tensor, rows: Tensor) -> Tensor:
    """How much of each row belongs to each of M clusters, of this sharpness (M): M x K.

    In fp32 also under autocast: scores of tens, rounded to eight bits, are off by a tenth.
    """
    with torch.autocast(rows.device.type, enabled=False):
        scores = (level.prototypes * sharpness[:, None]) @ rows.T
        return scores.add_(_void(level)).softmax(0)


def _void(level: Level) -> Tensor:
    """M x 1: -inf for a discarded cluster, which so gets no share; 0 for the others.

    Added, because torch fills by a mask that is broadcast ten times as slowly.
    """
    return torch.zeros_like(level.concentration).masked_fill_(~level.kept, -torch.inf)[:, None]


INSTANCE_NEGATIVES: Mapping[Selection, InstanceSelector | None] = {
    "all": None,
    "semantic": semantic_instances,
}
PROTOTYPE_NEGATIVES: Mapping[Selection, PrototypeSelector | None] = {
    "all": None,
    "semantic": semantic_prototypes,
}


def candidates(
    level: Level, cluster: Tensor, exclusion: Exclusion = "own", last_prototype: bool = True
) -> Tensor:
    """Which prototypes may be negatives of each query: N x M, or M where it is one for all.

    ``last_prototype=False`` leaves out the last cluster that has images, and what follows it.
    Exclusion over the batch may leave none: as in the released code the loss is then 0.
    """
    allowed = _eligible(level, last_prototype)
    ids = torch.arange(len(allowed), device=allowed.device)
    if exclusion == "own":
        return allowed & (ids != cluster[:, None])
    return allowed.index_fill(0, cluster, False)


def check_candidates(levels: Sequence[Level], last_prototype: bool = True) -> None:
    """Raises ConfigError if a query may find no candidate at a level, whatever its own prototype.

    Its loss would be a silent 0. Called once per clustering, for it reads from the device.
    """
    for number, level in enumerate(levels):
        left = int(_eligible(level, last_prototype).sum())
        if left < 2:  # a query's own and one other
            raise ConfigError(
                f"level {number} of the clusters has {left} of {len(level.kept)} prototypes that "
                "can be negatives; at least 2 are needed. Lower params.min_cluster_size, raise "
                "params.clusters, or set params.last_prototype = true"
            )


def _eligible(level: Level, last_prototype: bool) -> Tensor:
    """Which prototypes may be negatives of any query: M."""
    if last_prototype:
        return level.kept
    ids = torch.arange(len(level.kept), device=level.kept.device)
    return level.kept & (ids < level.assignment.max())


@torch.no_grad()
def nearest(query: Tensor, candidates: Tensor) -> Tensor:
    """The row of ``candidates`` most similar to each query by cosine: N row numbers.

    query: N x D; candidates: K x D; of any length. Of equally similar rows it is one. Raises
    ConfigError if there is no candidate.
    """
    if not len(candidates):
        raise ConfigError("the nearest of no candidates: give a queue of at least one row")
    query, candidates = unit(query), unit(candidates)
    with torch.autocast(query.device.type, enabled=False):
        # Whole, the similarities of a batch of 4,096 to the paper's queue would take 1.5 GiB.
        blocks = torch.split(query, max(1, _SIMILARITIES // len(candidates)))
        return torch.cat([(block @ candidates.T).argmax(1) for block in blocks])
