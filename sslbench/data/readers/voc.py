"""PASCAL VOC: ``ImageSets/Main/LIST.txt``, ``Annotations/NAME.xml``, ``JPEGImages/NAME.jpg``.

A split may join lists of several years (07+12). VOC counts pixels from 1 and includes the last, so
the box (1, 1, 500, 375) fills an image of 500 x 375; here it becomes (0, 0, 500, 375).
"""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
from defusedxml import DefusedXmlException

from sslbench.config import Settings, build
from sslbench.data.images import FileImages
from sslbench.data.readers.source import (
    Boxes,
    PathList,
    SplitData,
    checked_boxes,
    presence,
    wrong_count,
)
from sslbench.data.spec import DatasetSpec
from sslbench.errors import DataError


class VocOptions(Settings):
    lists: dict[str, tuple[str, ...]]  # {train: [VOC2007/trainval, VOC2012/trainval]}
    classes: tuple[str, ...]
    image_suffix: str = ".jpg"


class VocSource:
    def __init__(self, spec: DatasetSpec, folder: Path) -> None:
        self.spec, self.folder = spec, folder
        self.options = build(VocOptions, spec.options, f"data set {spec.name!r}: options")

    def _list_file(self, entry: str) -> Path:
        year, _, name = entry.rpartition("/")
        return self.folder / year / "ImageSets" / "Main" / f"{name}.txt"

    @cached_property
    def _names(self) -> dict[str, list[tuple[str, str]]]:
        """For each split the (year, name) of its images."""
        return {
            split: [
                (entry.rpartition("/")[0], line.split()[0])
                for entry in entries
                for line in _lines(self._list_file(entry))
            ]
            for split, entries in self.options.lists.items()
        }

    def faults(self) -> list[str]:
        expected = self.spec.levels[0].classes
        if len(self.options.classes) != expected:
            return [f"{self.spec.name}: {len(self.options.classes)} classes, {expected} expected"]
        entries = {entry for entries in self.options.lists.values() for entry in entries}
        missing = [file for file in map(self._list_file, sorted(entries)) if not file.is_file()]
        if missing:
            return [
                f"{self.spec.name}: no list {file}; expected there: an image name a line"
                for file in missing
            ]
        faults = []
        try:
            listed = self._names
        except DataError as error:
            return [f"{self.spec.name}: {error}"]
        for split, names in listed.items():
            where = self._list_file(self.options.lists[split][0]).parent
            faults += wrong_count(self.spec, split, len(names), where)
            for year in sorted({year for year, _ in names}):
                faults += self._missing(split, year, [name for y, name in names if y == year])
        return faults

    def _missing(self, split: str, year: str, names: list[str]) -> list[str]:
        faults = []
        for part, suffix in (("JPEGImages", self.options.image_suffix), ("Annotations", ".xml")):
            folder = self.folder / year / part
            there = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
            missing = [name for name in names if f"{name}{suffix}" not in there]
            if missing:
                faults.append(
                    f"{self.spec.name}, {split}: {len(missing)} of {len(names)} files are not in "
                    f"{folder}, such as {missing[0]}{suffix}"
                )
        return faults

    def class_names(self) -> list[list[str]]:
        return [list(self.options.classes)]

    def read(self, split: str) -> SplitData:
        names = self._names[split]
        paths = PathList(
            self.folder, (f"{y}/JPEGImages/{n}{self.options.image_suffix}" for y, n in names)
        )
        boxes = tuple(
            self._boxes(self.folder / year / "Annotations" / f"{name}.xml") for year, name in names
        )
        labels = presence(boxes, len(self.options.classes))
        return SplitData(
            FileImages(paths), labels, boxes if self.spec.task == "detection" else None
        )

    def _boxes(self, path: Path) -> Boxes:
        try:
            root = defusedxml.ElementTree.parse(path, forbid_dtd=True).getroot()
        except DefusedXmlException as error:
            raise DataError(
                f"{path}: cannot be read as an annotation: it declares a document type or entities "
                f"({error}), which could reach for other files. Take the declaration out"
            ) from error
        except (ParseError, ValueError, OSError) as error:
            raise DataError(f"{path}: cannot be read as an annotation ({error})") from error
        if root is None:
            raise DataError(f"{path}: an annotation without content")
        width, height = (_number(root, f"size/{side}", path) for side in ("width", "height"))
        found = []
        for position, item in enumerate(root.findall("object"), 1):
            name = (item.findtext("name") or "").strip()
            if name not in self.options.classes:
                raise DataError(
                    f"{path}: object {position} is a {name!r}. Classes of {self.spec.name}: "
                    f"{', '.join(self.options.classes)}"
                )
            corners = ("xmin", "ymin", "xmax", "ymax")
            left, top, right, bottom = (_number(item, f"bndbox/{c}", path) for c in corners)
            difficult = (item.findtext("difficult") or "0").strip() == "1"
            cls = self.options.classes.index(name)
            label = f"object {position} ({name})"
            found.append((label, left - 1, top - 1, right, bottom, cls, difficult))
        return checked_boxes(found, width, height, str(path))

    def files(self) -> tuple[Path, Iterable[str]]:
        suffix = self.options.image_suffix
        listed = {pair for names in self._names.values() for pair in names}
        images = (f"{year}/JPEGImages/{name}{suffix}" for year, name in listed)
        notes = (f"{year}/Annotations/{name}.xml" for year, name in listed)
        entries = {entry for entries in self.options.lists.values() for entry in entries}
        lists = (self._list_file(e).relative_to(self.folder).as_posix() for e in entries)
        return self.folder, [*lists, *images, *notes]


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a list of images ({error})") from error
    return [line for line in text.splitlines() if line.strip()]


def _number(element: Element, key: str, path: Path) -> float:
    text = element.findtext(key)
    try:
        return float(text if text is not None else "")
    except ValueError as error:
        raise DataError(f"{path}: {key} is {text!r}, a number expected") from error
