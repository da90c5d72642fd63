"""COCO's layout: one JSON file of annotations and one folder of images per split.

Images are in the order of their ids; classes in the order of category ids, which have gaps. Images
without objects stay in: leaving them out of training is the detector's business.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from sslbench.config import Settings, build
from sslbench.data.images import FileImages
from sslbench.data.readers.source import (
    PathList,
    SplitData,
    checked_boxes,
    presence,
    some,
    wrong_count,
)
from sslbench.data.spec import DatasetSpec
from sslbench.errors import DataError


class CocoOptions(Settings):
    annotations: dict[str, str]  # by split
    images: dict[str, str]  # folders, by split


class CocoSource:
    def __init__(self, spec: DatasetSpec, folder: Path) -> None:
        self.spec, self.folder = spec, folder
        self.options = build(CocoOptions, spec.options, f"data set {spec.name!r}: options")
        self._tree = cache(self._load)  # a large file, read once a split

    def faults(self) -> list[str]:
        faults = []
        for split, name in self.options.annotations.items():
            path = self.folder / name
            if not path.is_file() or path.stat().st_size == 0:
                faults.append(f"{self.spec.name}, {split}: no annotations {path}")
            images = self.folder / self.options.images[split]
            if not images.is_dir():
                faults.append(f"{self.spec.name}, {split}: no folder of images {images}")
                continue
            count = sum(1 for file in images.iterdir() if file.suffix.lower() in (".jpg", ".png"))
            faults += wrong_count(self.spec, split, count, images)
        return faults

    def _load(self, split: str) -> dict[str, Any]:
        path = self.folder / self.options.annotations[split]
        try:
            tree = json.loads(path.read_bytes())
            images = sorted(map(_image, tree["images"]))
            found = list(map(_object, tree["annotations"]))
            names = {c["id"]: c["name"] for c in tree["categories"]}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            problem = f"{type(error).__name__}: {error}"
            raise DataError(f"{path}: not COCO annotations of instances ({problem})") from error
        if not images:
            raise DataError(f"{path}: lists no image")
        twice = [one[0] for one, other in pairwise(images) if one[0] == other[0]]
        if twice:
            raise DataError(f"{path}: lists image {twice[0]} twice; ids are of one image each")
        if len(names) != self.spec.levels[0].classes:
            raise DataError(
                f"{path}: {len(names)} categories, {self.spec.levels[0].classes} expected"
            )
        return {"images": images, "annotations": found, "categories": names}

    def class_names(self) -> list[list[str]]:
        categories = self._tree("train")["categories"]
        return [[categories[number] for number in sorted(categories)]]

    def read(self, split: str) -> SplitData:
        tree = self._tree(split)
        path = self.folder / self.options.annotations[split]
        known = self._tree("train")["categories"]
        if tree["categories"] != known:
            odd = sorted(map(str, set(tree["categories"].items()) ^ set(known.items())))
            raise DataError(
                f"{self.spec.name}, {split}: other categories than in train: {some(odd)} ({path}). "
                "Give all splits the same ids and names"
            )
        order = {number: place for place, number in enumerate(sorted(tree["categories"]))}
        by_image: dict[int, list[tuple[str, float, float, float, float, int, bool]]]
        by_image, covered = defaultdict(list), defaultdict(list)
        for number, image, category, corners, crowd, area in tree["annotations"]:
            if category not in order:
                raise DataError(f"{path}: annotation {number} has the unknown category {category}")
            by_image[image].append((f"annotation {number}", *corners, order[category], crowd))
            covered[image].append(area)
        listed = {image for image, _, _, _ in tree["images"]}
        strangers = sorted(set(by_image) - listed)
        if strangers:
            raise DataError(f"{path}: annotations of image {strangers[0]}, which is not listed")
        boxes = tuple(
            checked_boxes(by_image[image], width, height, f"{path}, {name}", covered[image])
            for image, name, width, height in tree["images"]
        )
        folder = self.folder / self.options.images[split]
        there = {file.name for file in folder.iterdir()}
        names = [name for _, name, _, _ in tree["images"]]
        absent = [name for name in names if name not in there and not (folder / name).is_file()]
        if absent:
            raise DataError(
                f"{path}: {len(absent)} of {len(names)} images that it lists are not in {folder}: "
                f"{some(absent)}"
            )
        paths = PathList(folder, names)
        labels = presence(boxes, self.spec.levels[0].classes)
        detection = self.spec.task == "detection"
        return SplitData(FileImages(paths), labels, boxes if detection else None)

    def files(self) -> tuple[Path, Iterable[str]]:
        images = [
            f"{self.options.images[split]}/{name}"
            for split in self.options.annotations
            for _, name, _, _ in self._tree(split)["images"]
        ]
        return self.folder, [*self.options.annotations.values(), *images]


def _image(entry: Any) -> tuple[int, str, float, float]:
    """Id, file, width and height."""
    name = entry["file_name"]
    if not isinstance(name, str):
        raise TypeError(f"file_name is {name!r}")
    return entry["id"], name, float(entry["width"]), float(entry["height"])


def _object(entry: Any) -> tuple[int, int, int, tuple[float, float, float, float], bool, float]:
    """Id, image, category, corners, whether it is a crowd, and how many pixels it covers."""
    left, top, width, height = map(float, entry["bbox"])
    corners = (left, top, left + width, top + height)
    area = float(entry.get("area", width * height))
    return (
        entry["id"],
        entry["image_id"],
        entry["category_id"],
        corners,
        bool(entry["iscrowd"]),
        area,
    )
