"""Images with the boxes of their objects, resized and flipped: what a detector is trained on.

How large and whether flipped an image is shown depends on (seed, epoch, position) alone, so a run
that is resumed sees what an uninterrupted one sees.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2.functional import resize

from sslbench.data.images import ImageSet
from sslbench.data.random import permutation, uniforms
from sslbench.data.readers.source import Boxes
from sslbench.data.workers import begin_worker
from sslbench.errors import DataError

HELD_BYTES = 2**30  # resized images are kept in memory if all of them take no more


class Showing(NamedTuple):
    """One image as it is shown once."""

    position: int
    short_side: int  # pixels
    flip: bool


class Example(NamedTuple):
    position: int
    image: Tensor  # 3 x H x W, uint8, as shown
    boxes: Tensor  # K x 4, float32, in pixels as shown
    labels: Tensor  # K, int64
    scale: Tensor  # 4, shown pixels per stored pixel, for each coordinate of a box


class BoxImages(Dataset[Example | DataError]):
    """The images of a split at sizes to be drawn; ``short_sides`` and ``long_side`` in pixels.

    An image whose long side would exceed ``long_side`` is shown smaller. Ignored objects are left
    out of the boxes unless ``keep_ignored``. Raises DataError if there are no images, or not as
    many images as lists of boxes.
    """

    def __init__(
        self,
        images: ImageSet,
        boxes: Sequence[Boxes],
        short_sides: tuple[int, ...],
        long_side: int,
        *,
        keep_ignored: bool = False,
    ) -> None:
        if len(images) == 0 or len(images) != len(boxes):
            raise DataError(
                f"as many images as lists of boxes expected, and some; given {len(images)} images "
                f"and {len(boxes)} lists of boxes"
            )
        self.images, self.boxes = images, boxes
        self.short_sides, self.long_side, self.keep_ignored = short_sides, long_side, keep_ignored
        height, width = self._size(images.read(0), short_sides[-1])
        self.held = len(short_sides) == 1 and 3 * height * width * len(images) <= HELD_BYTES
        self._shown: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def shows_boxes(self) -> bool:
        """Whether there is any box at all in what is shown."""
        return any((self.keep_ignored | ~found.ignore).any() for found in self.boxes)

    def drawn(self, seed: int, steps: int, batch_size: int, flip: bool) -> list[list[Showing]]:
        """Every step's images: all of them in one random order after another."""
        batches: list[list[Showing]] = []
        showings = self._endless(seed, flip)
        for _ in range(steps):
            batches.append([next(showings) for _ in range(batch_size)])
        return batches

    def in_order(self, batch_size: int) -> list[list[Showing]]:
        """Every image once, unflipped, at the last of the sizes."""
        all_of_them = [Showing(i, self.short_sides[-1], False) for i in range(len(self.images))]
        return [
            all_of_them[start : start + batch_size]
            for start in range(0, len(all_of_them), batch_size)
        ]

    def batches(self, showings: list[list[Showing]]) -> Iterator[list[Example]]:
        """The examples of each step, read ahead by worker processes unless they are held.

        Raises DataError naming an image that cannot be read.
        """
        workers = 0 if self.held else min(os.cpu_count() or 1, 8)
        loader: Iterable[list[Example | DataError]] = DataLoader(
            self,
            batch_sampler=showings,
            num_workers=workers,
            collate_fn=_as_list,
            worker_init_fn=begin_worker,
            generator=torch.Generator(),  # its own: a loader draws a seed from what it is given
        )
        for batch in loader:
            examples = []
            for example in batch:
                if isinstance(example, DataError):
                    raise example
                examples.append(example)
            yield examples

    def __getitem__(self, showing: Showing) -> Example | DataError:
        try:
            image, scale = self._resized(showing.position, showing.short_side)
        except DataError as error:
            return error  # raised in a worker, it would come out as that worker's traceback
        found = self.boxes[showing.position]
        keep = torch.from_numpy(~found.ignore) | self.keep_ignored
        boxes = torch.from_numpy(found.xyxy)[keep] * scale
        if showing.flip:
            image = image.flip(-1)
            boxes[:, [0, 2]] = image.shape[-1] - boxes[:, [2, 0]]
        labels = torch.from_numpy(found.classes)[keep]
        return Example(showing.position, image, boxes, labels, scale)

    def _endless(self, seed: int, flip: bool) -> Iterator[Showing]:
        epoch = 0
        while True:
            order = permutation(seed, epoch, len(self.images))
            chance, size = uniforms(seed, epoch, order, 0, 2).T
            sides = (size * len(self.short_sides)).long()
            for position, side, mirrored in zip(order, sides, flip & (chance < 0.5), strict=True):
                yield Showing(int(position), self.short_sides[int(side)], bool(mirrored))
            epoch += 1

    def _resized(self, position: int, short_side: int) -> tuple[Tensor, Tensor]:
        if position in self._shown:
            return self._shown[position]
        image = self.images.read(position)
        height, width = self._size(image, short_side)
        x, y = width / image.shape[-1], height / image.shape[-2]
        shown = resize(image, [height, width], antialias=True), torch.tensor([x, y, x, y])
        if self.held:
            self._shown[position] = shown
        return shown

    def _size(self, image: Tensor, short_side: int) -> tuple[int, int]:
        height, width = image.shape[-2:]
        scale = min(short_side / min(height, width), self.long_side / max(height, width))
        return max(round(height * scale), 1), max(round(width * scale), 1)


def _as_list(examples: list[Any]) -> list[Any]:
    return examples
