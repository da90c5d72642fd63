"""Data on which the outcome of an evaluation is known beforehand."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from sslbench.data.datasets import LabelledDataset
from sslbench.data.images import HeldImages
from sslbench.data.readers.embedded import EmbeddedSource
from sslbench.data.readers.source import SplitData
from sslbench.data.spec import DatasetSpec, Level

CLASSES, TRAIN, TEST = 4, 320, 200
COLOURS = np.array([[230, 30, 30], [30, 230, 30], [30, 30, 230], [230, 230, 230]])


def patches(shuffled: bool, several: bool = False) -> LabelledDataset:
    """Plain colours with a little noise, one per class: the easiest data set. Or shuffled labels,
    of which nothing can be learnt. ``several``: the lower half of every fifth image has a
    colour of its own, so that an image shows one class or two."""
    spec = DatasetSpec(
        name="patches",
        task="multilabel" if several else "classification",
        levels=(Level(name="colour", classes=CLASSES),),
        splits={"train": TRAIN, "test": TEST},
        source="rendered",
        image_size=32,
        options={"shuffled": shuffled},
    )
    return LabelledDataset(spec, None, _Patches(shuffled, several))


def other_test_labels(spec: DatasetSpec) -> LabelledDataset:
    """Embedded data on which every test image has the labels and boxes of the one before it."""
    return LabelledDataset(spec, None, _Moved(spec))


class _Patches:
    def __init__(self, shuffled: bool, several: bool) -> None:
        self.shuffled, self.several = shuffled, several

    def faults(self) -> list[str]:
        return []

    def class_names(self) -> list[list[str]]:
        return [[f"colour {number}" for number in range(CLASSES)]]

    def files(self) -> tuple[Path, Iterable[str]] | None:
        return None

    def read(self, split: str) -> SplitData:
        count = TRAIN if split == "train" else TEST
        draws = np.random.default_rng([count, 1])
        labels = np.arange(count) % CLASSES
        noise = draws.integers(-20, 20, (count, 3, 32, 32))
        colours = np.broadcast_to(COLOURS[labels][:, :, None, None], noise.shape).copy()
        table = labels[:, None]
        if self.several:
            lower = np.where(np.arange(count) % 5 < 4, labels, draws.integers(0, CLASSES, count))
            colours[:, :, 16:] = COLOURS[lower][:, :, None, None]
            table = (np.stack([labels, lower])[:, :, None] == np.arange(CLASSES)).any(axis=0)
        pixels = np.clip(colours + noise, 0, 255).astype(np.uint8)
        if self.shuffled:
            table = draws.permutation(table)
        return SplitData(HeldImages(torch.from_numpy(pixels)), table.astype(np.int64))


class _Moved(EmbeddedSource):
    def read(self, split: str) -> SplitData:
        found = super().read(split)
        if split != "test":
            return found
        assert found.labels is not None
        boxes = None if found.boxes is None else (found.boxes[-1], *found.boxes[:-1])
        return SplitData(found.images, np.roll(found.labels, 1, axis=0), boxes)
