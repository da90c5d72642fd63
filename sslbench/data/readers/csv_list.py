"""Images named in list files, a path and a label a line: Places205 and Places365.

``gallery/0001.jpg 17`` or ``gallery/0001.jpg,17``; a leading slash is passed over, as Places365 has
one in ``/a/airfield/00000001.jpg 0``. Class names come from a list of the same form, if any.
"""

import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import Field

from sslbench.config import Settings, build
from sslbench.data.images import FileImages
from sslbench.data.readers.source import Integers, PathList, SplitData, wrong_count, wrong_names
from sslbench.data.spec import DatasetSpec
from sslbench.errors import DataError

_LOOKED_AT = 50  # images of a list whose presence is checked before a run, spread evenly


class ListOptions(Settings):
    lists: dict[str, str]  # by split
    images: dict[str, str]  # the folder that a split's paths start from
    names: str | None = None  # the list of classes
    first_label: int = Field(0, ge=0)  # what the lists call the first class


class ListSource:
    def __init__(self, spec: DatasetSpec, folder: Path) -> None:
        self.spec, self.folder = spec, folder
        self.options = build(ListOptions, spec.options, f"data set {spec.name!r}: options")

    @cached_property
    def _lists(self) -> dict[str, tuple[list[str], Integers]]:
        return {
            split: _entries(self.folder / name, self.options.first_label)
            for split, name in self.options.lists.items()
        }

    def faults(self) -> list[str]:
        faults = []
        needed = [*self.options.lists.values(), *filter(None, [self.options.names])]
        faults += [
            f"{self.spec.name}: no list {self.folder / name}; expected: a path and a label a line"
            for name in needed
            if not (self.folder / name).is_file()
        ]
        if faults:
            return faults
        try:
            lists = self._lists
            names = self.class_names()[0]
        except DataError as error:
            return [str(error)]
        classes = self.spec.levels[0].classes
        if len(self.spec.levels) != 1:
            faults.append(
                f"{self.spec.name}: lists hold one label an image, {len(self.spec.levels)} levels "
                "expected: keep only the finest of levels"
            )
        faults += wrong_names(self.spec, names)
        for split, (paths, labels) in lists.items():
            source = self.folder / self.options.lists[split]
            faults += wrong_count(self.spec, split, len(paths), source)
            if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
                faults.append(
                    f"{self.spec.name}, {split}: labels in {source} run from {labels.min()} to "
                    f"{labels.max()}, expected 0 to {classes - 1} "
                    f"(levels has {classes} classes, first_label is {self.options.first_label})"
                )
            faults += self._missing(split, paths)
        return faults

    def _missing(self, split: str, paths: list[str]) -> list[str]:
        folder = self.folder / self.options.images[split]
        sample = paths[:: max(1, len(paths) // _LOOKED_AT)]
        missing = [path for path in sample if not (folder / path).is_file()]
        if not missing:
            return []
        return [
            f"{self.spec.name}, {split}: {len(missing)} of {len(sample)} images looked for are not "
            f"there, such as {folder / missing[0]}: half unpacked?"
        ]

    def class_names(self) -> list[list[str]]:
        if self.options.names is None:
            return [[str(number) for number in range(self.spec.levels[0].classes)]]
        names, labels = _entries(self.folder / self.options.names, self.options.first_label)
        return [[names[position] for position in np.argsort(labels, kind="stable")]]

    def read(self, split: str) -> SplitData:
        paths, labels = self._lists[split]
        folder = self.folder / self.options.images[split]
        return SplitData(FileImages(PathList(folder, paths)), labels[:, None])

    def files(self) -> tuple[Path, Iterable[str]]:
        lists = [*self.options.lists.values(), *filter(None, [self.options.names])]
        images = (
            f"{self.options.images[split]}/{path}"
            for split, (paths, _) in self._lists.items()
            for path in paths
        )
        return self.folder, [*lists, *images]


# A name may hold spaces and commas; the last of either stands before the label.
_ENTRY = re.compile(r"(?P<name>.+?)[\s,]+(?P<label>[0-9]+)")


def _entries(path: Path, first_label: int) -> tuple[list[str], Integers]:
    names, labels = [], []
    try:
        with path.open(encoding="utf-8") as stream:
            lines = list(stream)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        entry = _ENTRY.fullmatch(text.strip())
        if entry is None:
            raise DataError(f"{path}, line {number}: {text.strip()!r} is not 'path label'")
        names.append(entry["name"].lstrip("/"))
        labels.append(int(entry["label"]) - first_label)
    return names, np.array(labels, dtype=np.int64)
