"""Crops of large images, made by worker processes and joined to batches on the training device.

A worker makes a piece of a batch at a time: whole batches of large views would be a gigabyte each,
and several wait for every worker. Which pieces a batch is made of changes nothing in it.
"""

import math
import signal
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sslbench.data.augment import View, geometry
from sslbench.data.geometry import Filter, centre_crop
from sslbench.data.images import ImageSet
from sslbench.errors import DataError
from sslbench.stopping import SIGNALS

Piece = tuple[int, list[int]]  # an epoch, and positions of images
Made = list[Tensor] | DataError  # n x 3 x S x S, uint8, one per view

_PIECE_BYTES = 2**24  # of the crops that a worker makes at a time


class Crops(Dataset[Made]):
    """The cropped, still uncoloured views of some images."""

    def __init__(self, images: ImageSet, plan: tuple[View, ...], seed: int) -> None:
        self.images, self.plan, self.seed = images, plan, seed
        self.sides = [view.side for view in plan]

    def __getitem__(self, piece: Piece) -> Made:
        epoch, positions = piece
        index = torch.tensor(positions)
        tables = [view.table(self.seed, epoch, index) for view in self.plan]
        made = _empty(len(positions), self.sides, torch.uint8)
        try:
            for row, position in enumerate(positions):
                image = self.images.read(position)  # decoded once for all views
                for view, table, crops in zip(self.plan, tables, made, strict=True):
                    crops[row] = geometry(image, view.look, view.side, table[row])
        except DataError as error:
            return error
        return made


class Centres(Dataset[Made]):
    """The centre crops of some images, as the one view."""

    def __init__(self, images: ImageSet, size: int, filter: Filter, crop_fraction: float) -> None:
        self.images, self.filter, self.crop_fraction = images, filter, crop_fraction
        self.sides = [size]

    def __getitem__(self, piece: Piece) -> Made:
        (size,) = self.sides
        (made,) = _empty(len(piece[1]), self.sides, torch.uint8)
        try:
            for row, position in enumerate(piece[1]):
                image = self.images.read(position)
                made[row] = centre_crop(image, size, self.filter, self.crop_fraction)
        except DataError as error:
            return error
        return [made]


def made_by_workers(
    crops: Crops | Centres,
    epoch: int,
    batches: Sequence[Tensor],
    workers: int,
    device: torch.device,
) -> Iterator[list[Tensor]]:
    """For each batch of positions its views: N x 3 x S x S, float32 in [0, 1], on ``device``.

    Raises DataError naming an image that cannot be read. A worker hands it over as a value, because
    DataLoader would wrap it in that worker's traceback.
    """
    size = _piece_size(crops.sides, len(batches[0]) if batches else 1, workers)
    made = iter(
        DataLoader(
            crops,
            batch_size=None,
            sampler=_pieces(epoch, batches, size),
            num_workers=workers,
            worker_init_fn=begin_worker,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # or each epoch would move the global one
        )
    )
    try:
        for index in batches:
            views = _empty(len(index), crops.sides, torch.float32, device)
            for start in range(0, len(index), size):
                parts = next(made)
                if isinstance(parts, DataError):
                    raise parts
                for view, part in zip(views, parts, strict=True):
                    small = part.to(device, non_blocking=True)  # moved while it is bytes
                    view[start : start + size].copy_(small).div_(255)
            yield views
    finally:
        # Processes end with their iterator. Kept alive by the traceback of an error, it would be
        # collected with its queues, and be waited for in vain.
        del made


def _piece_size(sides: Sequence[int], batch_size: int, workers: int) -> int:
    """Images of a piece: no piece is large, and all workers begin with the first batch."""
    fit = _PIECE_BYTES // sum(3 * side**2 for side in sides)
    return max(1, min(fit, math.ceil(batch_size / max(workers, 1))))


def _pieces(epoch: int, batches: Sequence[Tensor], size: int) -> Iterator[Piece]:
    for index in batches:
        for part in torch.split(index, size):
            yield epoch, part.tolist()


def _empty(
    count: int, sides: list[int], dtype: torch.dtype, device: torch.device | None = None
) -> list[Tensor]:
    return [torch.empty(count, 3, side, side, dtype=dtype, device=device) for side in sides]


def begin_worker(worker: int) -> None:
    """One thread, for workers share the cores already, and no end but the parent's.

    Signals reach the whole group of processes: whether to stop is the parent's to say, after a
    checkpoint for which it may still wait for images. Without a parent a worker ends by itself.
    """
    del worker
    torch.set_num_threads(1)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
