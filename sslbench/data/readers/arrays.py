"""Images of one size in NumPy's ``.npy`` files, mapped rather than read: larger than memory or not.

``NAME/train_images.npy`` holds N x 3 x H x W or N x H x W x 3 of uint8, ``NAME/train_labels.npy``
N whole numbers. ``numpy.lib.format.open_memmap`` writes such a file piece by piece.
"""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np

from sslbench.config import Settings, build
from sslbench.data.groups import Groups
from sslbench.data.images import MappedImages
from sslbench.data.readers.source import (
    Integers,
    SplitData,
    finest_names,
    level_labels,
    wrong_count,
    wrong_labels,
    wrong_names,
)
from sslbench.data.spec import DatasetSpec
from sslbench.errors import ConfigError, DataError


class ArrayOptions(Settings):
    images: dict[str, str]  # by split: {train: train_images.npy, test: test_images.npy}
    labels: dict[str, str]  # the same; a split that is not named has no labels
    names: str | None = None  # a text file of the classes, one a line
    groups: Groups = {}  # upper levels: {level: {group: classes}}, or a table's name


class ArraySource:
    def __init__(self, spec: DatasetSpec, folder: Path) -> None:
        self.spec, self.folder = spec, folder
        where = f"data set {spec.name!r}"
        self.options = build(ArrayOptions, spec.options, f"{where}: options")
        missing = sorted(set(spec.splits) - set(self.options.images))
        if missing:
            raise ConfigError(f"{where}: options.images: none for {', '.join(missing)}")
        if spec.image_size is None:
            raise ConfigError(f"{where}: image_size: arrays hold images of one size, to be given")
        self.size = spec.image_size

    @cached_property
    def _images(self) -> dict[str, MappedImages]:
        return {
            split: MappedImages(self.folder / self.options.images[split])
            for split in self.spec.splits
        }

    @cached_property
    def _labels(self) -> dict[str, Integers]:
        return {
            split: _whole_numbers(self.folder / name) for split, name in self.options.labels.items()
        }

    def faults(self) -> list[str]:
        paths = [self.folder / name for name in self.files()[1]]
        faults = [f"{self.spec.name}: no file {path}" for path in paths if not path.is_file()]
        if faults:
            return faults
        try:
            faults = wrong_names(self.spec, self.class_names()[0])
            images, labels = self._images, self._labels
        except (DataError, ConfigError) as error:
            return [str(error)]
        for split, found in images.items():
            label = f"{self.spec.name}, {split}"
            faults += wrong_count(self.spec, split, len(found), found.path)
            if found.size != (self.size, self.size):
                faults.append(
                    f"{label}: images of {found.size[0]} x {found.size[1]} pixels in {found.path}, "
                    f"image_size says {self.size}"
                )
            if split not in labels:
                continue
            where = self.folder / self.options.labels[split]
            faults += wrong_labels(self.spec, split, labels[split], where)
            if len(labels[split]) != len(found):
                faults.append(
                    f"{label}: {len(labels[split]):,} labels in {where}, {len(found):,} images"
                )
        return faults

    def class_names(self) -> list[list[str]]:
        names = finest_names(self.spec, self.folder, self.options.names)
        return level_labels(self.spec, names, self.options.groups)[0]

    def read(self, split: str) -> SplitData:
        if split not in self._labels:
            return SplitData(self._images[split], None)
        _, table = level_labels(self.spec, self.class_names()[0], self.options.groups)
        return SplitData(self._images[split], table[self._labels[split]])

    def files(self) -> tuple[Path, Iterable[str]]:
        images = [self.options.images[split] for split in self.spec.splits]
        labels = self.options.labels.values()
        return self.folder, [*images, *labels, *filter(None, [self.options.names])]


def _whole_numbers(path: Path) -> Integers:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read as a .npy file ({error})") from error
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise DataError(
            f"{path}: {values.dtype} of shape {values.shape}; expected: one whole number an image"
        )
    labels: Integers = values.astype(np.int64)
    return labels
