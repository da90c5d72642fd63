"""COCO's layout: one JSON file of annotations and one folder of images per split.

Images are in the order of their ids; classes in the order of category ids, which have gaps. Images
without objects stay in: leaving them out of training is the detector's business.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
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
            images, found = tree["images"], tree["annotations"]
            images = [(i["id"], i["file_name"], i["width"], i["height"]) for i in images]
            found = [
                (a["id"], a["image_id"], a["category_id"], *map(float, a["bbox"]), a["iscrowd"])
                for a in found
            ]
            names = {c["id"]: c["name"] for c in tree["categories"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            problem = f"{type(error).__name__}: {error}"
            raise DataError(f"{path}: not COCO annotations of instances ({problem})") from error
        if len(names) != self.spec.levels[0].classes:
            raise DataError(
                f"{path}: {len(names)} categories, {self.spec.levels[0].classes} expected"
            )
        return {"images": sorted(images), "annotations": found, "categories": names}

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
        by_image = defaultdict(list)
        for number, image, category, left, top, width, height, crowd in tree["annotations"]:
            if category not in order:
                raise DataError(f"{path}: annotation {number} has the unknown category {category}")
            corners = (left, top, left + width, top + height)
            by_image[image].append((f"annotation {number}", *corners, order[category], bool(crowd)))
        listed = {image for image, _, _, _ in tree["images"]}
        strangers = sorted(set(by_image) - listed)
        if strangers:
            raise DataError(f"{path}: annotations of image {strangers[0]}, which is not listed")
        boxes = tuple(
            checked_boxes(by_image.get(image, []), width, height, f"{path}, {name}")
            for image, name, width, height in tree["images"]
        )
        folder = self.folder / self.options.images[split]
        paths = PathList(folder, (name for _, name, _, _ in tree["images"]))
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
