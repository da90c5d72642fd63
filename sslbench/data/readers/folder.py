"""Images in one folder per class: ``NAME/{train,test}/CLASS/*.jpg``, as torchvision's ImageFolder.

Classes are the sorted folder names of ``train``; files are in sorted order. Hidden names and files
of other kinds are passed over.
"""

import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np

from sslbench.config import Settings, build
from sslbench.data.groups import Groups
from sslbench.data.images import FileImages
from sslbench.data.readers.name_list import Classes, NameList
from sslbench.data.readers.source import PathList, SplitData, level_labels, some, wrong_count
from sslbench.data.spec import DatasetSpec
from sslbench.errors import ConfigError, DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".gif")


class FolderOptions(Settings):
    splits: dict[str, str] = {}  # {test: val}: the folder of a split, where it is not its name
    only: dict[str, str] = {}  # {train: 1percent.txt}: a list of the images of a split to be used
    groups: Groups = {}  # upper levels: {level: {group: classes}}, or a table's name


class FolderSource:
    def __init__(self, spec: DatasetSpec, folder: Path) -> None:
        self.spec, self.folder = spec, folder
        self.options = build(FolderOptions, spec.options, f"data set {spec.name!r}: options")

    def folder_of(self, split: str) -> Path:
        return self.folder / self.options.splits.get(split, split)

    @cached_property
    def _there(self) -> dict[str, Classes]:
        """For each split and class the sorted file names."""
        return {split: _classes(self.folder_of(split)) for split in self.spec.splits}

    @cached_property
    def _lists(self) -> dict[str, NameList]:
        """Of the splits that have one. Raises DataError if one cannot be read."""
        return {split: NameList.read(self.folder / at) for split, at in self.options.only.items()}

    @cached_property
    def _listing(self) -> dict[str, Classes]:
        """What is used of ``_there``."""
        return {
            split: self._lists[split].chosen(classes) if split in self._lists else classes
            for split, classes in self._there.items()
        }

    def faults(self) -> list[str]:
        missing = [split for split in self.spec.splits if not self.folder_of(split).is_dir()]
        if missing:
            return [
                f"{self.spec.name}, {split}: no folder {self.folder_of(split)}; expected: one "
                "folder of images per class"
                for split in missing
            ]
        try:
            lists = self._lists
        except DataError as error:
            return [f"{self.spec.name}: {error}"]
        faults = [
            f"{self.spec.name}: options.only names {split!r}, which is no split"
            for split in sorted(set(lists) - set(self.spec.splits))
        ]
        expected = self.spec.levels[0].classes
        names = list(self._there["train"])
        for split, classes in self._there.items():
            where, label = self.folder_of(split), f"{self.spec.name}, {split}"
            if split == "train" and len(classes) != expected:
                faults.append(
                    f"{label}: {len(classes)} class folders in {where}, {expected} expected"
                )
            elif list(classes) != names:
                faults.append(f"{label}: {_difference(names, list(classes))}, in {where}")
            empty = [name for name, files in classes.items() if not files]
            if empty:
                faults.append(f"{label}: no images in the class folders {some(empty)} of {where}")
            if split in lists:
                faults += lists[split].faults(label, classes, where)
                where = lists[split].path
            found = sum(map(len, self._listing[split].values()))
            faults += wrong_count(self.spec, split, found, where)
        if not faults:
            try:
                self.class_names()
            except ConfigError as error:
                faults.append(str(error))
        return faults

    def class_names(self) -> list[list[str]]:
        return level_labels(self.spec, list(self._listing["train"]), self.options.groups)[0]

    def read(self, split: str) -> SplitData:
        classes = self._listing[split]
        _, table = level_labels(self.spec, list(classes), self.options.groups)
        counts = [len(files) for files in classes.values()]
        names = (f"{cls}/{file}" for cls, files in classes.items() for file in files)
        labels = np.repeat(table, counts, axis=0)
        return SplitData(FileImages(PathList(self.folder_of(split), names)), labels)

    def files(self) -> tuple[Path, Iterable[str]]:
        names = (
            f"{self.folder_of(split).relative_to(self.folder).as_posix()}/{cls}/{file}"
            for split in self.spec.splits
            for cls, files in self._listing[split].items()
            for file in files
        )
        return self.folder, names


def _classes(folder: Path) -> dict[str, list[str]]:
    with os.scandir(folder) as entries:
        names = sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    return {name: _images(folder / name) for name in names}


def _images(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            e.name
            for e in entries
            if e.name.lower().endswith(SUFFIXES) and not e.name.startswith(".")
        )


def _difference(train: list[str], other: list[str]) -> str:
    """How the class folders of another split differ from those of train, in words."""
    missing, strange = (sorted(set(a) - set(b)) for a, b in ((train, other), (other, train)))
    parts = [f"without {some(missing)}"] if missing else []
    parts += [f"with {some(strange)}"] if strange else []
    return f"other class folders than in train, {' and '.join(parts)}"
