"""Data sets with their labels: what evaluations see, and what methods never do.

``open_dataset`` checks first and raises one DataError with all faults. Images are decoded when they
are read: one that cannot be decoded raises a DataError that names the file, and stops the run.
There is no skipping, for a data set with holes is another data set.
"""

import hashlib
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray

from sslbench.config import fingerprint
from sslbench.data.checks import (
    check_can_be_divided,
    check_shape,
    shared_faults,
    split_faults,
)
from sslbench.data.draws import Draws, permutation
from sslbench.data.images import FileImages, HeldImages, ImageSet, MappedImages
from sslbench.data.readers.arrays import ArraySource
from sslbench.data.readers.coco import CocoSource
from sslbench.data.readers.csv_list import ListSource
from sslbench.data.readers.embedded import EmbeddedSource
from sslbench.data.readers.folder import FolderSource
from sslbench.data.readers.source import Boxes, Integers, PathList, Source, SplitData
from sslbench.data.readers.tar_shards import ShardImages, ShardSource
from sslbench.data.readers.torchvision_sets import TorchvisionSource
from sslbench.data.readers.voc import VocSource
from sslbench.data.rendered import VERSION
from sslbench.data.spec import DatasetSpec
from sslbench.errors import DataError, all_faults

__all__ = ["Boxes", "LabelledDataset", "check_dataset", "open_dataset"]

_SOURCES: dict[str, Callable[[DatasetSpec, Path], Source]] = {
    "folder": FolderSource,
    "torchvision": TorchvisionSource,
    "csv_list": ListSource,
    "voc": VocSource,
    "coco": CocoSource,
    "arrays": ArraySource,
    "tar_shards": ShardSource,
}
_SYSTEM = Path("/usr/share/datasets")  # where Debian installs packages of data
_HELD_OUT = 0.1  # share of the training images on which a protocol may select
_READ_ALL = 2**30  # bytes: below this a digest is over contents, from here on over names and sizes


def open_dataset(
    spec: DatasetSpec, data_root: Path | None, download: bool = False
) -> "LabelledDataset":
    """The data set, checked. Raises DataError that lists every fault found.

    ``data_root`` is the folder of all data sets, by default ``$SSLBENCH_DATA``; what is not there
    is looked for in /usr/share/datasets, and the embedded data needs neither. ``download`` fetches
    what torchvision can fetch and is not there yet.
    """
    if download and check_dataset(spec, data_root):
        _download(spec, data_root)
    faults = check_dataset(spec, data_root)
    if faults:
        raise DataError(all_faults(faults, f"data set {spec.name!r} cannot be used:"))
    folder = _folder(spec, data_root)
    return LabelledDataset(spec, folder, _source(spec, folder))


def check_dataset(spec: DatasetSpec, data_root: Path | None) -> list[str]:
    """All that is wrong with it, as far as it shows without opening images; empty if nothing is."""
    folder = _folder(spec, data_root)
    if folder is None and spec.source != "rendered":
        return [f"{spec.name}: no data folder given. {_how_to_get(spec)}"]
    if folder is not None and not folder.is_dir():
        return [f"{spec.name}: no folder {folder}. {_how_to_get(spec)}"]
    faults = _source(spec, folder).faults()
    if faults and spec.source != "rendered":
        faults[-1] += f". {_how_to_get(spec)}"
    return faults


def _folder(spec: DatasetSpec, data_root: Path | None) -> Path | None:
    """Where the data set lies or should; None if no root is known, or for embedded data."""
    if spec.source == "rendered":
        return None
    named = os.environ.get("SSLBENCH_DATA")
    roots = [root for root in (data_root, Path(named) if named else None) if root is not None][:1]
    for root in (*roots, _SYSTEM):
        if (root / spec.folder).is_dir():
            return root / spec.folder
    return roots[0] / spec.folder if roots else None


def _source(spec: DatasetSpec, folder: Path | None) -> Source:
    if folder is None:
        return EmbeddedSource(spec)
    return _SOURCES[spec.source](spec, folder)


def _how_to_get(spec: DatasetSpec) -> str:
    fetch = ", --download fetches it" if spec.source == "torchvision" else ""
    home = f" (its home: {spec.home})" if spec.home else ""
    return f"--data DIR or SSLBENCH_DATA names the folder that holds {spec.folder!r}{fetch}{home}"


def _download(spec: DatasetSpec, data_root: Path | None) -> None:
    folder = _folder(spec, data_root)
    if folder is None:
        raise DataError(f"{spec.name}: --download needs to know where to. {_how_to_get(spec)}")
    source = _source(spec, folder)
    if not isinstance(source, TorchvisionSource):
        raise DataError(f"{spec.name}: sslbench cannot download it. {_how_to_get(spec)}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):  # another process may do the same
        if check_dataset(spec, data_root):
            source.download()


class LabelledDataset:
    """Images, labels and boxes by split; positions are those of the split after ``subset``."""

    def __init__(self, spec: DatasetSpec, root: Path | None, source: Source) -> None:
        self.spec = spec
        self.root = root  # the data set's own folder; None if embedded
        self._source = source
        self._read: dict[str, SplitData] = {}

    def images(self, split: str) -> ImageSet:
        return self._split(split).images

    def labels(self, split: str) -> Integers:
        """N x levels, finest first. With several labels or boxes: N x classes, 1 shown, 0 not, and
        -1 where a class is only there as difficult or as a crowd. Raises DataError if it has none.
        """
        labels = self._split(split).labels
        if labels is None:
            raise DataError(f"{self.spec.name}: the split {split!r} has no labels")
        return labels

    def boxes(self, split: str) -> tuple[Boxes, ...]:
        """One per image. Raises DataError if the data set is not one for detection."""
        boxes = self._split(split).boxes
        if boxes is None:
            raise DataError(
                f"{self.spec.name} has no boxes: its task is {self.spec.task}, not detection"
            )
        return boxes

    def class_names(self, level: int = 0) -> list[str]:
        return self._source.class_names()[level]

    def held_out(self, seed: int) -> NDArray[np.bool_]:
        """Which training images selection may use: a tenth, the same for the same seed.

        With one label per image it is stratified by the finest: a tenth of each class, at least one
        image of it, so that every class is on both sides. Raises DataError if a class has a single
        image, or if there are too few images to hold one out.
        """
        count = len(self.images("train"))
        keys = Draws(seed, "held out", range(count)).bits("order")[:, 0]
        if self.spec.task != "classification":
            if round(_HELD_OUT * count) == 0:
                raise DataError(
                    f"{self.spec.name}, train: {count} images, of which a tenth is none to hold "
                    "out. Add images"
                )
            return _smallest(keys, round(_HELD_OUT * count))
        finest = self.labels("train")[:, 0]
        check_can_be_divided(self.spec, finest, self.class_names())
        chosen = np.zeros(count, dtype=np.bool_)
        for cls in np.unique(finest):
            members = np.flatnonzero(finest == cls)
            share = max(1, round(_HELD_OUT * len(members)))
            chosen[members[_smallest(keys[members], share)]] = True
        return chosen

    def check_measurable(self) -> None:
        """Raises one DataError with all that keeps evaluations from measuring on this data.

        Each class is in train and in test, at every level; test images are two at least, and none
        of them is a file of train. Duplicates under other names are not looked for.
        """
        if self._faults:
            raise DataError(all_faults(self._faults, f"{self.spec.name}: nothing to measure on:"))

    @cached_property
    def _faults(self) -> list[str]:
        train, test = self._split("train"), self._split("test")
        return [
            *split_faults(self.spec, "train", train, self.class_names),
            *split_faults(self.spec, "test", test, self.class_names),
            *shared_faults(self.spec, train.images, test.images),
        ]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the data: another digest is other data, whatever its name.

        Embedded data: of what it is rendered from. Files: of their names and sizes, and of their
        contents where they sum up to less than 1 GiB.
        """
        listed = self._source.files()
        if listed is None:
            spec = self.spec.hashed()
            del spec["name"], spec["subset"]
            return fingerprint({"rendered": VERSION, **spec})
        folder, names = listed
        return _digest(folder, sorted(set(names)))

    def _split(self, split: str) -> SplitData:
        if split not in self.spec.splits:
            known = ", ".join(self.spec.splits)
            raise DataError(f"{self.spec.name} has no split {split!r}. Known: {known}")
        if split not in self._read:
            whole = self._source.read(split)
            check_shape(self.spec, split, whole)
            wanted = self.spec.subset.get(split)
            self._read[split] = whole if wanted is None else _part(self.spec, split, whole, wanted)
        return self._read[split]


def _smallest(keys: NDArray[np.uint64], count: int) -> NDArray[np.bool_]:
    mask = np.zeros(len(keys), dtype=np.bool_)
    mask[np.argsort(keys, kind="stable")[:count]] = True
    return mask


def _part(spec: DatasetSpec, split: str, whole: SplitData, wanted: int) -> SplitData:
    """``wanted`` images by a seeded permutation, in the order of the whole."""
    if wanted > len(whole.images):
        raise DataError(
            f"{spec.name}: subset {split}: {wanted} of {len(whole.images)} images cannot be had"
        )
    keep = np.sort(permutation(0, f"subset/{split}", len(whole.images))[:wanted])
    labels = None if whole.labels is None else whole.labels[keep]
    boxes = None if whole.boxes is None else tuple(whole.boxes[position] for position in keep)
    return SplitData(chosen_images(whole.images, keep), labels, boxes)


def chosen_images(images: ImageSet, keep: Integers) -> ImageSet:
    """The images at the positions ``keep``, in that order, without reading a file."""
    if isinstance(images, HeldImages | MappedImages):
        return images.at(torch.from_numpy(keep))
    if isinstance(images, ShardImages):
        return images.at(keep)
    assert isinstance(images, FileImages)
    paths = images.paths
    chosen = paths.at(keep) if isinstance(paths, PathList) else [paths[k] for k in keep]
    return FileImages(chosen)


def _digest(folder: Path, names: list[str]) -> str:
    total, bytes_of_all = hashlib.sha256(), 0
    try:
        for name in names:  # may be millions: no list of anything longer than the names
            size = (folder / name).stat().st_size
            bytes_of_all += size
            total.update(f"{name}\0{size}\n".encode("utf-8", "surrogateescape"))
        if bytes_of_all < _READ_ALL:
            for name in names:
                total.update(hashlib.sha256((folder / name).read_bytes()).digest())
    except OSError as error:
        raise DataError(f"{error.filename}: listed, but not to be read ({error})") from error
    return total.hexdigest()
