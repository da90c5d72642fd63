"""Sets that torchvision can fetch: CIFAR-10 and -100, STL-10, Fashion-MNIST, DTD, in its layout.

CIFAR, STL-10 and Fashion-MNIST are held in memory. Any of them may lie there as folders of images
instead (``train/CLASS``, ``test/CLASS``): if the folder ``train`` exists, that layout is read.
Fashion-MNIST's files may lie in the folder itself or in ``FashionMNIST/raw``, packed or not; DTD
trains on its lists train1 and val1 together.
"""

import gzip
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray

from sslbench.config import Settings, build
from sslbench.data.groups import Groups
from sslbench.data.images import FileImages, HeldImages, ImageSet
from sslbench.data.readers.folder import FolderSource
from sslbench.data.readers.source import (
    Integers,
    PathList,
    SplitData,
    level_labels,
    some,
    wrong_count,
)
from sslbench.data.spec import DatasetSpec
from sslbench.errors import DataError

Found = tuple[ImageSet, Integers | None]  # images, finest labels
Pixels = NDArray[np.uint8]


class TorchvisionOptions(Settings):
    name: Literal["CIFAR10", "CIFAR100", "STL10", "FashionMNIST", "DTD"]
    groups: Groups = {}  # upper levels: {level: {group: classes}}, or a table's name


@dataclass(frozen=True)
class _Layout:
    files: Callable[[Path], list[Path]]  # what must be there
    names: Callable[[Path], list[str]]
    read: Callable[[Path, str], Found]


class TorchvisionSource:
    def __init__(self, spec: DatasetSpec, folder: Path) -> None:
        self.spec, self.folder = spec, folder
        self.options = build(TorchvisionOptions, spec.options, f"data set {spec.name!r}: options")
        self._layout = _LAYOUTS[self.options.name]
        self._as_folders: FolderSource | None = None
        if (folder / "train").is_dir():
            changed = {"source": "folder", "options": {"groups": spec.options.get("groups", {})}}
            self._as_folders = FolderSource(spec.model_copy(update=changed), folder)

    def faults(self) -> list[str]:
        if self._as_folders is not None:
            return self._as_folders.faults()
        missing = [path for path in self._layout.files(self.folder) if not path.is_file()]
        if missing:
            return [
                f"{self.spec.name}: no {missing[0]} (torchvision's layout) and no folder "
                f"{self.folder / 'train'} with a folder of images per class"
            ]
        return []

    def class_names(self) -> list[list[str]]:
        if self._as_folders is not None:
            return self._as_folders.class_names()
        names = self._layout.names(self.folder)
        return level_labels(self.spec, names, self.options.groups)[0]

    def read(self, split: str) -> SplitData:
        if self._as_folders is not None:
            return self._as_folders.read(split)
        try:
            images, finest = self._layout.read(self.folder, split)
        except (OSError, RuntimeError, ValueError) as error:
            raise DataError(f"{self.spec.name}, {split}: {self.folder}: {error}") from error
        faults = wrong_count(self.spec, split, len(images), self.folder)
        if faults:
            raise DataError(faults[0])
        if finest is None:
            return SplitData(images, None)
        names, table = level_labels(self.spec, self._layout.names(self.folder), self.options.groups)
        if len(finest) and not 0 <= finest.min() <= finest.max() < len(names[0]):
            raise DataError(
                f"{self.spec.name}, {split}: labels run from {finest.min()} to {finest.max()}, "
                f"expected 0 to {len(names[0]) - 1}"
            )
        return SplitData(images, table[finest])

    def files(self) -> tuple[Path, Iterable[str]]:
        if self._as_folders is not None:
            return self._as_folders.files()
        needed = self._layout.files(self.folder)
        if self.options.name == "DTD":  # its lists are needed, its images are listed there
            needed += [
                path for split in ("train", "test") for path in _dtd_paths(self.folder, split)
            ]
        return self.folder, [path.relative_to(self.folder).as_posix() for path in needed]

    def download(self) -> None:
        """Fetches what is missing into torchvision's layout, checked by its checksums.

        Raises DataError if that fails, or if an archive would put a file outside its folder.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with _nothing_outside():
                getattr(torchvision.datasets, self.options.name)(self.folder, download=True)
        except (OSError, RuntimeError, tarfile.TarError) as error:
            raise DataError(f"{self.spec.name}: download into {self.folder}: {error}") from error


@contextmanager
def _nothing_outside() -> Iterator[None]:
    """Archives are unpacked without absolute paths, parents, devices and links out of the folder.

    torchvision leaves that to Python, which does so by itself from 3.14 on and cannot before
    3.11.4; there, as everywhere, an archive is unpacked only if it has the known checksum.
    """
    if not hasattr(tarfile, "data_filter"):
        yield
        return
    before = getattr(tarfile.TarFile, "extraction_filter", None)
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    finally:
        tarfile.TarFile.extraction_filter = before


def _held(pixels: Pixels, labels: Integers | None) -> Found:
    return HeldImages(torch.from_numpy(np.ascontiguousarray(pixels))), labels


# ---- CIFAR ------------------------------------------------------------------------------------


def _cifar(cls: type[torchvision.datasets.CIFAR10]) -> _Layout:
    def files(folder: Path) -> list[Path]:
        parts = [name for name, _ in (*cls.train_list, *cls.test_list)]
        return [folder / cls.base_folder / name for name in (*parts, cls.meta["filename"])]

    def names(folder: Path) -> list[str]:
        return list(cls(folder, train=False).classes)

    def read(folder: Path, split: str) -> Found:
        data = cls(folder, train=split == "train")  # checks the files' MD5 sums
        return _held(data.data.transpose(0, 3, 1, 2), np.array(data.targets, dtype=np.int64))

    return _Layout(files, names, read)


# ---- STL-10 -----------------------------------------------------------------------------------


def _stl_files(folder: Path) -> list[Path]:
    parts = ["train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "unlabeled_X.bin"]
    return [folder / "stl10_binary" / name for name in (*parts, "class_names.txt")]


def _stl_names(folder: Path) -> list[str]:
    return (folder / "stl10_binary" / "class_names.txt").read_text(encoding="utf-8").split()


def _stl_read(folder: Path, split: str) -> Found:
    data = torchvision.datasets.STL10(folder, split=split)
    labels = None if split == "unlabeled" else data.labels.astype(np.int64)
    return _held(data.data, labels)


# ---- Fashion-MNIST ----------------------------------------------------------------------------

_FASHION = (
    "t-shirt/top", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip


def _fashion_file(folder: Path, split: str, what: str) -> Path:
    name = f"{'train' if split == 'train' else 't10k'}-{what}-ubyte"
    places = [folder, folder / "FashionMNIST" / "raw"]
    found = [place / f"{name}{end}" for place in places for end in ("", ".gz")]
    return next((path for path in found if path.is_file()), found[-1])


def _fashion_files(folder: Path) -> list[Path]:
    parts = ("images-idx3", "labels-idx1")
    return [_fashion_file(folder, split, part) for split in ("train", "test") for part in parts]


def _fashion_read(folder: Path, split: str) -> Found:
    images = _idx(_fashion_file(folder, split, "images-idx3"), 3)
    labels = _idx(_fashion_file(folder, split, "labels-idx1"), 1).astype(np.int64)
    if len(images) != len(labels):
        raise DataError(f"{folder}, {split}: {len(images)} images but {len(labels)} labels")
    return _held(np.repeat(images[:, None], 3, axis=1), labels)


def _idx(path: Path, dimensions: int) -> Pixels:
    """An IDX file of bytes (yann.lecun.com/exdb/mnist): a magic number, sizes, values."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    head = np.frombuffer(content[: 4 + 4 * dimensions], dtype=">u4")
    shape = [int(size) for size in head[1:]]
    if len(head) != 1 + dimensions or head[0] != 0x800 + dimensions:
        raise DataError(f"{path}: not an IDX file of {dimensions} dimensions")
    values = np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions)
    if len(values) != np.prod(shape):
        raise DataError(f"{path}: {len(values)} values, {shape} announced: cut short?")
    return values.reshape(shape)


# ---- DTD --------------------------------------------------------------------------------------

_DTD_LISTS = {"train": ("train1.txt", "val1.txt"), "test": ("test1.txt",)}


def _dtd_files(folder: Path) -> list[Path]:
    labels = folder / "dtd" / "dtd" / "labels"
    return [labels / name for names in _DTD_LISTS.values() for name in names]


def _dtd_entries(folder: Path, split: str) -> list[str]:
    lists = [folder / "dtd" / "dtd" / "labels" / name for name in _DTD_LISTS[split]]
    return [line for file in lists for line in file.read_text(encoding="utf-8").split()]


def _dtd_paths(folder: Path, split: str) -> PathList:
    return PathList(folder / "dtd" / "dtd" / "images", _dtd_entries(folder, split))


def _dtd_names(folder: Path) -> list[str]:
    return sorted({entry.split("/")[0] for entry in _dtd_entries(folder, "train")})


def _dtd_read(folder: Path, split: str) -> Found:
    names = {name: number for number, name in enumerate(_dtd_names(folder))}
    classes = [entry.split("/")[0] for entry in _dtd_entries(folder, split)]
    strangers = sorted(set(classes) - set(names))
    if strangers:
        raise ValueError(f"its lists name classes that train has not: {some(strangers)}")
    labels = [names[cls] for cls in classes]
    return FileImages(_dtd_paths(folder, split)), np.array(labels, dtype=np.int64)


_LAYOUTS = {
    "CIFAR10": _cifar(torchvision.datasets.CIFAR10),
    "CIFAR100": _cifar(torchvision.datasets.CIFAR100),
    "STL10": _Layout(_stl_files, _stl_names, _stl_read),
    "FashionMNIST": _Layout(_fashion_files, lambda folder: list(_FASHION), _fashion_read),
    "DTD": _Layout(_dtd_files, _dtd_names, _dtd_read),
}
