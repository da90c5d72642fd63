"""What a method's features, prototypes and queues look like, measured without a trace.

A fixed few of the training images, drawn by the run's seed, are seen twice: in the centre view that
evaluations see, and in one random view of the run's recipe. Nothing is drawn from torch's
generators, batch norm keeps its statistics and every module its mode, so training goes on as if it
had not been looked at.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sslbench.api.method import DataInfo, Method
from sslbench.data.images import HeldImages, ImageSet
from sslbench.data.loaders import ViewLoader, embed_batches
from sslbench.data.random import derive_seed, permutation
from sslbench.data.recipe import ViewConfig
from sslbench.errors import Diverged
from sslbench.metrics import collapse
from sslbench.nn.clustering import Clusters
from sslbench.nn.encoder import Encoder
from sslbench.nn.memory import FeatureQueue
from sslbench.nn.modes import measuring
from sslbench.run import PretrainConfig

IMAGES, BATCH = 1024, 128
FEWEST = 64  # of a run that is too short for more
NEIGHBOURS = 10
MOST = 10  # measurements of a run
# For each image that is looked at, at least so many are trained on, or it would cost more than 2 %:
# 1,024 took 0.3 s where an epoch of 7,936 took 5 s (SimCLR, the quick suite's encoder, one core).
TRAINED_ON = 40

Signals = dict[str, float]


def due(epoch: int, data: DataInfo) -> bool:
    """Whether signals are measured at the end of an epoch (from 0): at the last one always."""
    per_epoch = max(data.steps_per_epoch * data.batch_size, 1)
    least = TRAINED_ON * looked_at(data)
    every = max(math.ceil(data.epochs / MOST), math.ceil(least / per_epoch))
    return (data.epochs - 1 - epoch) % every == 0


def looked_at(data: DataInfo) -> int:
    """How many images are measured: 1,024, or fewer where there are fewer or the run is short."""
    affordable = data.steps * data.batch_size // TRAINED_ON if data.steps else IMAGES
    return min(IMAGES, max(FEWEST, affordable), data.images)


@dataclass(frozen=True)
class _Few:
    """Some images of a larger set."""

    images: ImageSet
    positions: Sequence[int]

    def __len__(self) -> int:
        return len(self.positions)

    def read(self, position: int) -> Tensor:
        return self.images.read(self.positions[position])


class Probe:
    """The images of a run's health, and how to look at them."""

    def __init__(
        self,
        training: ViewLoader,
        pretrain: PretrainConfig,
        seed: int,
        count: int,
        workers: int,
        placed: Callable[[Tensor], Tensor],
    ) -> None:
        self.image_size, self.device, self.workers = pretrain.image_size, training.device, workers
        self.placed = placed
        images = training.images  # where the loader holds them, nothing is decoded again
        seed = derive_seed(seed, "health")
        batch = min(BATCH, count)
        chosen = permutation(seed, 0, len(images))[: count // batch * batch]
        self.images: ImageSet = (
            HeldImages(images.pixels[chosen.to(images.pixels.device)])
            if isinstance(images, HeldImages)
            else _Few(images, chosen.tolist())
        )
        self.views = ViewLoader(
            self.images,
            pretrain.augment,
            (ViewConfig(),),
            pretrain.image_size,
            batch,
            seed,
            device=self.device,
            workers=workers,
            path=pretrain.views_path,
        )

    def signals(self, method: Method) -> Signals:
        """Of the encoder that will be evaluated, and of the method's own prototypes and queues.

        Raises Diverged if a feature is not finite.
        """
        with measuring(method):
            encoder = method.evaluated_encoder()
            found = feature_signals(*self._features(encoder))
            scores = [method.prototype_scores(view) for view in self._centre_views()]
            return (
                found
                | prototype_signals([part for part in scores if part is not None])
                | cluster_signals([m for m in method.modules() if isinstance(m, Clusters)])
                | queue_signals(
                    [m for m in method.modules() if isinstance(m, FeatureQueue)], method.data
                )
            )

    def _centre_views(self) -> Iterator[Tensor]:
        views = embed_batches(
            self.images, self.image_size, BATCH, device=self.device, workers=self.workers
        )
        return map(self.placed, views)

    def _features(self, encoder: Encoder) -> tuple[Tensor, Tensor]:
        """N x D of the centre views, and of the random ones in the same order."""
        centre = torch.cat([encoder(view) for view in self._centre_views()])
        random = torch.empty_like(centre)
        for (view,), index in self.views.epoch(0):
            random[index.to(random.device)] = encoder(self.placed(view))
        return centre, random


def feature_signals(centre: Tensor, random: Tensor) -> Signals:
    """Of N x D features of centre views and of one random view each.

    Raises Diverged if one is not finite.
    """
    bad = int((~torch.cat([centre, random]).isfinite().all(1)).sum())
    if bad:
        raise Diverged(
            f"features of {bad} of {2 * len(centre)} views are not finite: training has diverged"
        )
    most = min(centre.shape)
    rank = collapse.effective_rank(centre)
    spread = collapse.effective_rank(centre - centre.mean(0))
    return {
        "rank": rank,
        "rank_share": rank / most,
        "spread": spread,
        "spread_share": spread / most,
        "deviation": collapse.deviation(centre),
        "alignment": collapse.alignment(centre, random),
        "uniformity": collapse.uniformity(centre),
        "neighbours": collapse.neighbour_agreement(
            centre, random, min(NEIGHBOURS, len(centre) - 1)
        ),
    }


def cluster_signals(clusterings: Sequence[Clusters]) -> Signals:
    """Of the worst level of all clusterings that have been made."""
    levels = [level for c in clusterings if c.ready for level in c.levels() if level.kept.sum() > 1]
    if not levels:
        return {}
    used, entropy = [], []
    for level in levels:
        sizes = level.assignment.bincount(minlength=len(level.kept))[level.kept]
        share, spread = collapse.usage(sizes)
        used.append(share)
        entropy.append(spread)
    kept = [level.prototypes[level.kept] for level in levels]
    return {
        "clusters_used": min(used),
        "clusters_entropy": min(entropy),
        "clusters_distinct": min(collapse.distinct(rows) / len(rows) for rows in kept),
    }


def prototype_signals(scores: Sequence[Tensor]) -> Signals:
    """Of N x M scores of images with prototypes that are learnt."""
    if not scores:
        return {}
    table = torch.cat(list(scores))
    sizes = table.argmax(1).bincount(minlength=table.shape[1])
    used, entropy = collapse.usage(sizes)
    return {
        "prototypes_used": used,
        "prototypes_entropy": entropy,
        "prototypes_distinct": collapse.distinct(table.T) / table.shape[1],
    }


def queue_signals(queues: Sequence[FeatureQueue], data: DataInfo) -> Signals:
    """How long ago the oldest key was encoded, at one batch a step."""
    if not queues:
        return {}
    steps = max(len(queue) for queue in queues) / data.batch_size
    return {"queue_age_steps": steps, "queue_age_epochs": steps / max(data.steps_per_epoch, 1)}
