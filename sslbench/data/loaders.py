"""Batches: views with positions for methods, centre views in data set order for features.

Small images are held once and become views as a batch on the training device. Large ones are
decoded and cropped by worker processes; their colours are a batch again. A run's hash says which.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sslbench.data.augment import View, finished, geometry, planned, rendered
from sslbench.data.geometry import Filter, centre_crop
from sslbench.data.images import HeldImages, ImageSet, held
from sslbench.data.random import permutation
from sslbench.data.recipe import Recipe, ViewConfig
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
    ) -> None:
        """Raises DataError if there is no full batch, or if images to be held differ in size."""
        if not 1 <= batch_size <= len(images):
            raise DataError(
                f"batch_size {batch_size} does not go with {len(images)} training images: "
                f"take one from 1 to {len(images)}"
            )
        self.plan = planned(recipe, layout, image_size)
        self.batch_size, self.seed = batch_size, seed
        self.device, self.workers = device, workers
        self.pixels = held(images).pixels.to(device) if path == "batched" else None
        self.images = images if self.pixels is None else HeldImages(self.pixels)

    @property
    def steps_per_epoch(self) -> int:
        """Full batches only."""
        return len(self.images) // self.batch_size

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Views, Tensor]]:
        """Views and positions (N, int64, on the CPU) of each step from ``start_step`` on.

        Raises DataError naming an image that cannot be read.
        """
        order = permutation(self.seed, epoch, len(self.images))
        batches = torch.split(order, self.batch_size)[start_step : self.steps_per_epoch]
        if self.pixels is None:
            yield from self._cropped_by_workers(epoch, batches)
            return
        for index in batches:
            images = self.pixels.index_select(0, index.to(self.device))
            yield (
                tuple(
                    rendered(images, view, view.table(self.seed, epoch, index))
                    for view in self.plan
                ),
                index,
            )

    def _cropped_by_workers(
        self, epoch: int, batches: Sequence[Tensor]
    ) -> Iterator[tuple[Views, Tensor]]:
        crops = _Crops(self.images, batches, self.plan, self.seed, epoch)
        made = _fetched(crops, self.workers, self.device)
        for index, parts in zip(batches, made, strict=True):
            yield (
                tuple(
                    finished(_unit(part, self.device), view, view.table(self.seed, epoch, index))
                    for view, part in zip(self.plan, parts, strict=True)
                ),
                index,
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

    @property
    def total(self) -> int:
        """Images, not batches."""
        return len(self.images)

    def __iter__(self) -> Iterator[Tensor]:
        """Batches in [0, 1]; the last may be smaller. Raises DataError naming a bad image."""
        how = self.image_size, self.filter, self.crop_fraction
        if isinstance(self.images, HeldImages):  # nothing to decode
            for pixels in torch.split(self.images.pixels, self.batch_size):
                yield _unit(centre_crop(pixels, *how), self.device)
            return
        batches = torch.split(torch.arange(self.total), self.batch_size)
        for (crops,) in _fetched(_Centres(self.images, batches, *how), self.workers, self.device):
            yield _unit(crops, self.device)


def embed_batches(
    images: ImageSet,
    image_size: int,
    batch_size: int,
    device: torch.device,
    workers: int,
    filter: Filter = "bilinear",
    crop_fraction: float = 224 / 256,
) -> CentreViews:
    """Centre views of all images on ``device``, in data set order, with their ``total``."""
    return CentreViews(images, image_size, batch_size, device, workers, filter, crop_fraction)


def _unit(images: Tensor, device: torch.device) -> Tensor:
    """uint8 as float32 in [0, 1], moved while it is still small."""
    return images.to(device, non_blocking=True).float().div_(255)


# ---- what worker processes do -----------------------------------------------------------------


class _Crops(Dataset[list[Tensor] | DataError]):
    """Item: the cropped, still uncoloured views of a batch, N x 3 x S x S, uint8 each."""

    def __init__(
        self,
        images: ImageSet,
        batches: Sequence[Tensor],
        plan: tuple[View, ...],
        seed: int,
        epoch: int,
    ) -> None:
        self.images, self.batches, self.plan = images, batches, plan
        self.seed, self.epoch = seed, epoch

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, step: int) -> list[Tensor] | DataError:
        index = self.batches[step]
        tables = [view.table(self.seed, self.epoch, index) for view in self.plan]
        crops: list[list[Tensor]] = [[] for _ in self.plan]
        try:
            for row, position in enumerate(index.tolist()):
                image = self.images.read(position)  # decoded once for all views
                for view, table, made in zip(self.plan, tables, crops, strict=True):
                    made.append(geometry(image, view.look, view.side, table[row]))
        except DataError as error:
            return error
        return [torch.stack(made) for made in crops]


class _Centres(Dataset[list[Tensor] | DataError]):
    """Item: the centre crops of a batch, N x 3 x S x S, uint8."""

    def __init__(
        self,
        images: ImageSet,
        batches: Sequence[Tensor],
        size: int,
        filter: Filter,
        crop_fraction: float,
    ) -> None:
        self.images, self.batches, self.size = images, batches, size
        self.filter, self.crop_fraction = filter, crop_fraction

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, step: int) -> list[Tensor] | DataError:
        try:
            images = [self.images.read(position) for position in self.batches[step].tolist()]
        except DataError as error:
            return error
        crops = [centre_crop(i, self.size, self.filter, self.crop_fraction) for i in images]
        return [torch.stack(crops)]


def _fetched(
    batches: Dataset[list[Tensor] | DataError], workers: int, device: torch.device
) -> Iterator[list[Tensor]]:
    """The items of a data set of batches, in order. A DataError comes out as if raised here.

    It is handed over as a value, because DataLoader would wrap it in a worker's traceback.
    """
    loader = DataLoader(
        batches,
        batch_size=None,
        num_workers=workers,
        worker_init_fn=_one_thread,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # or each epoch would move the global one
    )
    for item in loader:
        if isinstance(item, DataError):
            raise item
        yield item


def _one_thread(worker: int) -> None:
    """Workers share the cores already; threads inside them would fight."""
    del worker
    torch.set_num_threads(1)
