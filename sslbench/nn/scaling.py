"""The rules behind ``"auto"``: what a paper chose for ImageNet, carried over to other data.

Pure functions of numbers, called by ``Method.scaled`` while planning.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from sslbench.config import Auto
from sslbench.errors import ConfigError

IMAGENET = 1_281_167  # training images of ILSVRC 2012


def queue_size(given: int | str, paper: int, images: int, batch_size: int) -> int:
    """The largest multiple of the batch up to half the images; at least one batch.

    Half, so that most keys are of other images than the query. Raises ConfigError if a given size
    exceeds the images.
    """
    largest = max(batch_size, min(paper, images // 2) // batch_size * batch_size)
    if given == "auto":
        return largest
    if int(given) > images:
        raise ConfigError(
            f"params.queue_size = {given} is more than the {images} training images, so every "
            f"query would meet itself in it. The rule (a multiple of the batch up to "
            f"half the images) gives {largest}"
        )
    return int(given)


def bank_negatives(given: int | str, paper: int, images: int) -> int:
    """The paper's draws from a memory bank, at most half the images; at least one.

    Half, so that a query seldom meets itself and a step does not go through most of the bank.
    Raises ConfigError if a given number exceeds the images.
    """
    rule = max(1, min(paper, images // 2))
    if given == "auto":
        return rule
    if int(given) > images:
        raise ConfigError(
            f"params.negatives = {given} is more than the {images} training images that have a row "
            f"in the memory bank. The largest that works is {images}; the rule (at most half the "
            f"images) gives {rule}"
        )
    return int(given)


Estimate = Literal["first", "every"]  # the batch from which NCE's normaliser Z is estimated


def normaliser(given: Estimate | Auto, images: int, batch_size: int) -> Estimate:
    """The first batch's, as in the authors' code, where a batch is at most 1 in 1000 images.

    Every batch's where it is more. There a few batches, whose embeddings are much alike early on,
    fill a good part of the bank. Against a constant Z all those rows count as positives, and what
    drives every embedding away from them at once settles at no rate at which anything is learnt.
    """
    if given == "auto":
        return "first" if 1000 * batch_size <= images else "every"
    return given


def key_momentum(given: float | str, paper: float, steps: int) -> float:
    """The paper's momentum from 100,000 steps on, 0.99 below.

    0.999 over 780 steps would keep 46 % of the initial weights.
    """
    if given == "auto":
        return paper if steps >= 100_000 else min(paper, 0.99)
    return float(given)


def warmup_epochs(given: int | str, epochs: int) -> int:
    """A tenth of the epochs without clustering, as 20 of 200; one at least, if one is left with it.

    Raises ConfigError if a given value leaves no epoch with clustering.
    """
    rule = max(0, min(epochs - 1, (epochs + 9) // 10))
    if given == "auto":
        return rule
    if epochs and int(given) >= epochs:
        raise ConfigError(
            f"params.warmup_epochs = {given} of {epochs} epochs leaves none with clustering. "
            f"The largest that works is {epochs - 1}; the rule (a tenth) gives {rule}"
        )
    return int(given)


def prototype_count(given: int | str, paper: int, images: int, batch_size: int) -> int:
    """As ``hierarchy_sizes`` for one level, but never more than the paper has.

    Raises ConfigError for a single prototype, which tells nothing apart, or more than images.
    """
    rule = min(paper, *hierarchy_sizes((paper,), images, batch_size))
    if given == "auto":
        return rule
    if not 2 <= int(given) <= images:
        raise ConfigError(
            f"params.prototypes = {given}: expected 2 to {images}, the number of training images. "
            f"Nearest: {min(max(int(given), 2), images)}; the rule (the paper's {paper}, in "
            f"proportion to the images) gives {rule}"
        )
    return int(given)


def assignment_queue(given: int | str, samples: int, images: int, batch_size: int) -> int:
    """What a batch lacks of the samples that shall be assigned together; 0 where it lacks nothing.

    A multiple of the batch and at most half the images. ``samples`` are to be as many per prototype
    as in the paper: more would need a longer queue, whose rows are of an encoder that a short run
    has long left behind. Raises ConfigError if a given size exceeds the images.
    """
    rule = max(0, min(samples - batch_size, images // 2)) // batch_size * batch_size
    if given == "auto":
        return rule
    if int(given) > images:
        raise ConfigError(
            f"params.queue_size = {given} is more than the {images} training images, so it would "
            f"hold some of them twice. The rule (a multiple of the batch up to half the images) "
            f"gives {rule}; 0 is no queue"
        )
    return int(given)


def queue_epoch(given: int | str, epochs: int) -> int:
    """The epoch from which a queue is used: as 15 of 200; never past the last.

    Raises ConfigError if a given value leaves no epoch with the queue.
    """
    rule = max(0, min(epochs - 1, (15 * epochs + 199) // 200))
    if given == "auto":
        return rule
    if epochs and int(given) >= epochs:
        raise ConfigError(
            f"params.queue_from = {given} of {epochs} epochs leaves none with the queue. The "
            f"largest that works is {epochs - 1}; the rule (as 15 of 200) gives {rule}; "
            "queue_size: 0 is no queue"
        )
    return int(given)


def frozen_steps(given: int | str, steps_per_epoch: int, steps: int) -> int:
    """One epoch, but at most a hundredth of the run, as one epoch is of the shortest published.

    Raises ConfigError if a given value leaves no step in which all is learnt.
    """
    rule = min(steps_per_epoch, steps // 100)
    if given == "auto":
        return rule
    if steps and int(given) >= steps:
        raise ConfigError(
            f"params.frozen_steps = {given} of {steps} steps leaves none in which the last layer "
            f"learns. The largest that works is {steps - 1}; the rule (an epoch, at most a "
            f"hundredth of the run) gives {rule}"
        )
    return int(given)


def output_count(given: int | str, paper: int, images: int, least: int) -> int:
    """The paper's outputs in proportion to the images; never fewer than ``least``, nor more."""
    if given == "auto":
        return max(least, min(paper, round(paper * images / IMAGENET)))
    return int(given)


def check_batch(batch_size: int, reason: str) -> None:
    """Raises ConfigError for a batch of one image; ``reason`` is what one image lacks."""
    if batch_size < 2:
        raise ConfigError(f"pretrain.batch_size = {batch_size}: {reason}, so it needs at least 2")


def hierarchy_sizes(
    paper: Sequence[int], images: int, batch_size: int, least: int = 2
) -> tuple[int, ...]:
    """A hierarchy's sizes, finest first: the paper's in proportion to the images.

    But at least to the batch (a batch of 256 in 12 clusters has no negative prototype), at most
    such that a finest cluster has 20 images, and never under ``least`` clusters.
    """
    share = max(images / IMAGENET, batch_size / 2000)
    share = min(share, images / 20 / paper[0])
    share = max(share, least / paper[-1])
    return tuple(round(size * share) for size in paper)


def clustering_sizes(ratios: Sequence[int], images: int, least: int = 2) -> tuple[int, ...]:
    """So many images per cluster, one size for each ratio; never under ``least`` clusters."""
    return tuple(max(least, images // ratio) for ratio in ratios)


def least_clusters(last_prototype: bool) -> int:
    """One for the positive and one for a negative, and one that is never a negative."""
    return 2 if last_prototype else 3


def check_sizes(
    sizes: Sequence[int], images: int, last_prototype: bool, decreasing: bool = False
) -> None:
    """Raises ConfigError for cluster sizes that these images cannot have."""
    least = least_clusters(last_prototype)
    if not sizes or min(sizes) < least or max(sizes) >= images:
        raise ConfigError(
            f"params.clusters = {list(sizes)}: expected sizes from {least} to {images - 1}, fewer "
            f"than the {images} training images. Nearest: "
            f"{[min(max(size, least), images - 1) for size in sizes] or [least]}"
        )
    if decreasing and any(below <= above for below, above in pairwise(sizes)):
        raise ConfigError(
            f"params.clusters = {list(sizes)}: each level clusters the one before it, so sizes "
            f"must decrease. Nearest: {sorted(set(sizes), reverse=True)}"
        )


def check_min_cluster_size(smallest: int, sizes: Sequence[int], images: int) -> None:
    """Raises ConfigError if clusters of mean size would be discarded, or nearly.

    Sizes of clusters spread widely about their mean; half of it leaves most of them.
    """
    mean = images / max(sizes)
    if 2 * smallest > mean:
        raise ConfigError(
            f"params.min_cluster_size = {smallest}: {images} images in {max(sizes)} clusters are "
            f"{mean:.1f} each, so many clusters would be discarded. Expected at most half of that. "
            f"Nearest that works: {int(mean / 2)}, or at most {images // (2 * smallest)} clusters"
        )


def check_batch_exclusion(sizes: Sequence[int], batch_size: int, last_prototype: bool) -> None:
    """Raises ConfigError if a batch is expected to leave under 1 prototype that it does not occupy.

    For M equal clusters that number is M (1 - 1/M)^batch, or M - 1 times that power without the
    last prototype.
    """

    def left(clusters: int, batch: int) -> float:
        return (clusters - (not last_prototype)) * (1 - 1 / clusters) ** batch

    smallest = min(sizes)
    if left(smallest, batch_size) >= 1:
        return
    enough = smallest
    while left(enough, batch_size) < 1:
        enough += 1
    fitting = max(batch for batch in range(batch_size) if left(smallest, batch) >= 1)
    raise ConfigError(
        f"params.exclusion = batch: {batch_size} images are expected to leave "
        f"{left(smallest, batch_size):.2g} of {smallest} prototypes as negatives, fewer than 1. "
        f"Nearest that works: {enough} clusters or more, a batch of {fitting}, or exclusion: own"
    )
