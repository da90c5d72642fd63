"""The survey's data sets in miniature, in the formats and with the quirks of the real ones.

Pictures are gradients, as large as photographs. Their colour is the class's, and so is that of a
rectangle for each object.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

SYNSETS = 8
SCENES = 6
COUNTS = {  # training and test images
    "imagenet": (64, 16),
    "places205": (24, 12),
    "places365": (24, 12),
    "voc0712": (8, 4),  # half of the first in 2012
    "coco2017": (6, 4),
}
LISTED = (8, 16)  # images on the lists of 1 % and of 10 %
VOC_CLASSES = ("aeroplane", "dog", "person", "sofa")  # the rest of the twenty does not occur
COCO_GAPS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}  # category ids from 1 to 90 that are not used

Box = tuple[int, int, int, int]  # left, top, right, bottom; right and bottom exclusive


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root that holds all that the survey needs."""
    root = tmp_path_factory.mktemp("data")
    _imagenet(root / "imagenet")
    _places205(root / "places205")
    _places365(root / "places365")
    _voc(root / "VOCdevkit")
    _coco(root / "coco")
    return root


def picture(hue: int, number: int, width: int, height: int, boxes: tuple[Box, ...]) -> Image.Image:
    """A gradient whose colour is the class's and whose slope is the image's."""
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    slope = (number % 5) / 5
    light = 0.3 + 0.5 * (slope * x + (1 - slope) * y)
    colour = 0.5 + 0.5 * np.cos(2 * np.pi * (hue / 8 + np.arange(3) / 3))
    pixels = light[..., None] * (0.5 + 0.5 * colour)
    for left, top, right, bottom in boxes:
        pixels[top:bottom, left:right] = 1 - colour
    return Image.fromarray((255 * pixels).round().astype(np.uint8))


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "JPEG", quality=75)


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _imagenet(folder: Path) -> None:
    """Folders of synsets. As in the real one, images are of any size, a few are grey or CMYK, and
    one is a PNG that is called JPEG. SimCLR's lists of few labels name files in no order."""
    train, test = COUNTS["imagenet"]
    lists: dict[str, list[str]] = {"1percent.txt": [], "10percent.txt": []}
    sizes = ((500, 375), (375, 500), (500, 333), (160, 120))
    for number in range(train + test):
        cls, serial = number % SYNSETS, number // SYNSETS
        synset = f"n0{1440764 + 1000 * cls}"
        image = picture(cls, number, *sizes[number % 4], ())
        if number < train:
            path = folder / "train" / synset / f"{synset}_{serial}.JPEG"
            for name, images in zip(lists, LISTED, strict=True):
                if serial < images // SYNSETS:
                    lists[name].insert(len(lists[name]) // 2, path.name)
        else:
            path = folder / "val" / synset / f"ILSVRC2012_val_{number:08d}.JPEG"
        if number == 3:
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path, "PNG")
        else:
            save(image.convert({1: "L", 2: "CMYK"}.get(number, "RGB")), path)
    for name, names in lists.items():
        write(folder / "semi_supervised" / name, names)


def _places(name: str) -> Iterator[tuple[bool, int, int, Image.Image]]:
    """For each image whether it is for training, its number, its class and itself."""
    train, test = COUNTS[name]
    # In no order: a label that went to the next image would be another class.
    orders = [np.random.default_rng(0).permutation(np.arange(n) % SCENES) for n in (train, test)]
    for number, cls in enumerate(np.concatenate(orders).tolist()):
        yield number < train, number, cls, picture(cls, number, 256, 256, ())


def scene(cls: int) -> str:
    """Some classes are nested: a/apartment_building/outdoor."""
    inner = "/outdoor" if cls % 5 == 4 else ""
    return f"{'abcdefgh'[cls % 8]}/scene_{cls}{inner}"


def _places205(folder: Path) -> None:
    lists: dict[bool, list[str]] = {True: [], False: []}
    for training, number, cls, image in _places("places205"):
        name = f"{scene(cls)}/gsun_{number:032x}.jpg"
        images = folder / "data" / "vision" / "torralba" / "deeplearning" / "images256"
        save(image, images / name)
        lists[training].append(f"{name} {cls}")
    write(folder / "trainvalsplit_places205" / "train_places205.csv", lists[True])
    write(folder / "trainvalsplit_places205" / "val_places205.csv", lists[False])


def _places365(folder: Path) -> None:
    """As torchvision unpacks the small images: paths of the training list begin with a slash."""
    lists: dict[bool, list[str]] = {True: [], False: []}
    for training, number, cls, image in _places("places365"):
        part = "data_256_standard" if training else "val_256"
        name = f"/{scene(cls)}/{number:08d}.jpg" if training else f"Places365_val_{number:08d}.jpg"
        save(image, folder / part / name.lstrip("/"))
        lists[training].append(f"{name} {cls}")
    write(folder / "places365_train_standard.txt", lists[True])
    write(folder / "places365_val.txt", lists[False])
    write(folder / "categories_places365.txt", [f"/{scene(cls)} {cls}" for cls in range(SCENES)])


def objects(number: int, classes: int) -> list[tuple[int, Box]]:
    """A large and a small object: (class, box)."""
    shift = 7 * number
    return [
        (number % classes, (60 + shift, 50, 300 + shift, 290)),
        ((number + 1) % classes, (350, 200 + shift, 440, 260 + shift)),
    ]


def _voc(folder: Path) -> None:
    """Boxes count from 1 and include their last pixel; 2012 writes some as fractions; people have
    parts with boxes of their own; the small object of every second image is difficult."""
    train, test = COUNTS["voc0712"]
    lists: dict[str, list[str]] = {}
    for number in range(train + test):
        if number < train // 2:
            entry, name = "VOC2012/trainval", f"2008_{number:06d}"
        else:
            entry = "VOC2007/trainval" if number < train else "VOC2007/test"
            name = f"{number:06d}"
        year, _, _ = entry.partition("/")
        lists.setdefault(entry, []).append(name)
        found = objects(number, len(VOC_CLASSES))
        image = picture(number, number, 500, 375, tuple(box for _, box in found))
        save(image, folder / year / "JPEGImages" / f"{name}.jpg")
        notes = folder / year / "Annotations" / f"{name}.xml"
        write(notes, [_annotation(year, name, number, found)])
    for entry, names in lists.items():
        year, _, part = entry.partition("/")
        write(folder / year / "ImageSets" / "Main" / f"{part}.txt", names)
        labels = [f"{name} {' 1' if number % 2 else '-1'}" for number, name in enumerate(names)]
        write(folder / year / "ImageSets" / "Main" / f"dog_{part}.txt", labels)


def _annotation(year: str, name: str, number: int, found: list[tuple[int, Box]]) -> str:
    items = []
    for place, (cls, (left, top, right, bottom)) in enumerate(found):
        x = f"{left + 1}.25" if year == "VOC2012" else str(left + 1)
        part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
        items.append(
            f"<object><name>{VOC_CLASSES[cls]}</name><pose>Left</pose><truncated>0</truncated>"
            f"<difficult>{place * (number % 2)}</difficult>"
            f"<bndbox><xmin>{x}</xmin><ymin>{top + 1}</ymin><xmax>{right}</xmax>"
            f"<ymax>{bottom}</ymax></bndbox>{part if VOC_CLASSES[cls] == 'person' else ''}</object>"
        )
    return (
        f"<annotation><folder>{year}</folder><filename>{name}.jpg</filename>"
        "<size><width>500</width><height>375</height><depth>3</depth></size>"
        f"<segmented>0</segmented>{''.join(items)}</annotation>"
    )


def _coco(folder: Path) -> None:
    """Category ids have gaps, the last training image shows nothing, crowds have no polygon."""
    train, test = COUNTS["coco2017"]
    ids = [number for number in range(1, 91) if number not in COCO_GAPS]
    for part, numbers in (("train", range(train)), ("val", range(train, train + test))):
        images: list[dict[str, Any]] = []
        notes: list[dict[str, Any]] = []
        for number in numbers:
            found = objects(number, 3) if number != train - 1 else []
            file = f"{number + 9:012d}.jpg"
            image = picture(number, number, 640, 480, tuple(box for _, box in found))
            save(image.convert("L" if number == 1 else "RGB"), folder / f"{part}2017" / file)
            images.append({"id": number + 9, "file_name": file, "width": 640, "height": 480})
            for place, (cls, (left, top, right, bottom)) in enumerate(found):
                crowd = number % 2 * place
                outline = [left, top, right, top, right, bottom, left, bottom]
                notes.append(
                    {
                        "id": 1000 + len(notes),
                        "image_id": number + 9,
                        "category_id": ids[30 * cls],
                        "bbox": [left + 0.5, top, right - left - 0.5, bottom - top],
                        "area": (right - left) * (bottom - top),
                        "iscrowd": crowd,
                        "segmentation": {"counts": [307200], "size": [480, 640]}
                        if crowd
                        else [outline],
                    }
                )
        categories = [{"id": i, "name": f"category {i}", "supercategory": "any"} for i in ids]
        text = json.dumps({"images": images, "annotations": notes, "categories": categories})
        write(folder / "annotations" / f"instances_{part}2017.json", [text])
