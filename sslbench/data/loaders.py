"""Batches: views with positions for methods, centre views in data set order for features.

Small images are held once and become views as a batch on the training device. Large ones are
decoded and cropped by worker processes; their colours are a batch again. A run's hash says which.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from sslbench.data.augment import finished, planned, planned_views
from sslbench.data.geometry import Filter, centre_crop
from sslbench.data.images import HeldImages, ImageSet, MappedImages, held
from sslbench.data.random import permutation
from sslbench.data.recipe import Recipe, ViewConfig
from sslbench.data.workers import Centres, Crops, made_by_workers
from sslbench.errors import DataError

Views = tuple[Tensor, ...]


class ViewLoader:
    """The views of every epoch. What it yields depends on its settings and the step alone."""

    def __init__(
        self,
        images: ImageSet,
        recipe: Recipe,
        layout: tuple[ViewConfig, ...],
        image_size: int,
        batch_size: int,
        seed: int,
        *,
        device: torch.device,
        workers: int,
        path: Literal["batched", "workers"],
        arrived: Callable[[], None] = lambda: None,
        share: slice = slice(None),
    ) -> None:
        """``arrived`` is called when a step's pixels are there, before views are made of them.

        ``share``: the rows of a batch of which views are made, where several processes share it.
        Raises DataError if there is no full batch, or if images to be held differ in size."""
        if not 1 <= batch_size <= len(images):
            raise DataError(
                f"batch_size {batch_size} does not go with {len(images)} training images: "
                f"take one from 1 to {len(images)}"
            )
        self.plan = planned(recipe, layout, image_size)
        self.batch_size, self.seed = batch_size, seed
        self.device, self.workers, self.path, self.arrived = device, workers, path, arrived
        self.share = share
        self.images = images
        if path == "batched" and not isinstance(images, MappedImages):
            self.images = HeldImages(held(images).pixels.to(device))

    @property
    def steps_per_epoch(self) -> int:
        """Full batches only."""
        return len(self.images) // self.batch_size

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Views, Tensor]]:
        """Views and positions (N, int64, on the CPU) of each step from ``start_step`` on.

        Views are those of this process's ``share``, positions those of the whole batch.
        Raises DataError naming an image that cannot be read.
        """
        order = permutation(self.seed, epoch, len(self.images))
        batches = torch.split(order, self.batch_size)[start_step : self.steps_per_epoch]
        parts = [index[self.share] for index in batches]
        if self.path == "workers":
            cropped = Crops(self.images, self.plan, self.seed)
            made = made_by_workers(cropped, epoch, parts, self.workers, self.device)
            for index, own, crops in zip(batches, parts, made, strict=True):
                self.arrived()
                yield (
                    tuple(
                        finished(part, view, view.table(self.seed, epoch, own))
                        for view, part in zip(self.plan, crops, strict=True)
                    ),
                    index,
                )
            return
        assert isinstance(self.images, HeldImages | MappedImages)
        made_here = _gathered(self.images, parts, self.device)
        for index, own, images in zip(batches, parts, made_here, strict=True):
            self.arrived()
            yield planned_views(images, self.plan, self.seed, epoch, own), index


def single_views(
    images: ImageSet,
    recipe: Recipe,
    image_size: int,
    batch_size: int,
    seed: int,
    *,
    device: torch.device,
    workers: int,
) -> ViewLoader:
    """One view of every image in every epoch; ``workers`` processes decode those that are files.

    Raises DataError as ``ViewLoader`` does.
    """
    return ViewLoader(
        images,
        recipe,
        (ViewConfig(),),
        image_size,
        batch_size,
        seed,
        device=device,
        workers=workers,
        path="batched" if isinstance(images, HeldImages | MappedImages) else "workers",
    )


@dataclass(frozen=True)
class CentreViews:
    """The evaluation view of every image: iterate for N x 3 x S x S batches in data set order."""

    images: ImageSet
    image_size: int
    batch_size: int
    device: torch.device
    workers: int
    filter: Filter = "bilinear"
    crop_fraction: float = 224 / 256
    batches: slice = field(default_factory=lambda: slice(None))  # which of all, by number

    @property
    def total(self) -> int:
        """Images, not batches."""
        return len(self.images)

    def __iter__(self) -> Iterator[Tensor]:
        """Batches in [0, 1]; the last may be smaller. Raises DataError naming a bad image."""
        how = self.image_size, self.filter, self.crop_fraction
        batches = torch.split(torch.arange(self.total), self.batch_size)[self.batches]
        if isinstance(self.images, HeldImages):  # nothing to decode
            for pixels in torch.split(self.images.pixels, self.batch_size)[self.batches]:
                yield _unit(centre_crop(pixels, *how), self.device)
        elif isinstance(self.images, MappedImages):
            for pixels in _gathered(self.images, batches, torch.device("cpu")):
                yield _unit(centre_crop(pixels, *how), self.device)
        else:
            centres = Centres(self.images, *how)
            for (crops,) in made_by_workers(centres, 0, batches, self.workers, self.device):
                yield crops


def embed_batches(
    images: ImageSet,
    image_size: int,
    batch_size: int,
    device: torch.device,
    workers: int,
    filter: Filter = "bilinear",
    crop_fraction: float = 224 / 256,
    batches: slice = slice(None),
) -> CentreViews:
    """Centre views on ``device``, in data set order: of all images, or those of some batches."""
    return CentreViews(
        images, image_size, batch_size, device, workers, filter, crop_fraction, batches
    )


def _unit(images: Tensor, device: torch.device) -> Tensor:
    """uint8 as float32 in [0, 1], moved while it is still small."""
    return images.to(device, non_blocking=True).float().div_(255)


def _gathered(
    images: HeldImages | MappedImages, batches: Sequence[Tensor], device: torch.device
) -> Iterator[Tensor]:
    """The images of each batch as they are, on ``device``.

    Those of a file are read by a thread of its own, one batch ahead of what is asked for.
    """
    if isinstance(images, HeldImages):
        for index in batches:
            yield images.batch(index).to(device)
        return

    def read(index: Tensor) -> Tensor:
        pixels = images.batch(index)
        return pixels.pin_memory() if device.type == "cuda" else pixels

    with ThreadPoolExecutor(1) as reader:
        waiting = [reader.submit(read, index) for index in batches[:1]]
        for number in range(len(batches)):
            pixels = waiting.pop().result()
            waiting += [reader.submit(read, index) for index in batches[number + 1 : number + 2]]
            yield pixels.to(device, non_blocking=True)
