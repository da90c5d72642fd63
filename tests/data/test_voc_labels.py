"""VOC2007 as images that show several classes, in its real layout, with difficult objects."""

from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
import pytest
from PIL import Image

from sslbench.data.datasets import LabelledDataset, open_dataset
from sslbench.data.spec import dataset_spec

DOG, CAT, PERSON = 11, 7, 14
# (class, difficult) of every object of an image.
TRAIN: dict[str, list[tuple[str, int]]] = {
    "000005": [("dog", 0), ("dog", 1)],
    "000007": [("person", 1)],
    "000009": [("person", 0), ("cat", 1), ("cat", 1)],
    "000012": [],
}
TEST: dict[str, list[tuple[str, int]]] = {
    "000001": [("dog", 1), ("cat", 0)],
    "000002": [("person", 0)],
}


def annotation(name: str, objects: list[tuple[str, int]]) -> bytes:
    """The elements that VOC's files have, in their order."""
    root = Element("annotation")
    SubElement(root, "folder").text = "VOC2007"
    SubElement(root, "filename").text = f"{name}.jpg"
    SubElement(SubElement(root, "source"), "database").text = "The VOC2007 Database"
    size = SubElement(root, "size")
    for side, number in (("width", 50), ("height", 40), ("depth", 3)):
        SubElement(size, side).text = str(number)
    SubElement(root, "segmented").text = "0"
    for cls, difficult in objects:
        item = SubElement(root, "object")
        SubElement(item, "name").text = cls
        SubElement(item, "pose").text = "Unspecified"
        SubElement(item, "truncated").text = "1"
        SubElement(item, "difficult").text = str(difficult)
        box = SubElement(item, "bndbox")
        for corner, number in (("xmin", 3), ("ymin", 2), ("xmax", 30), ("ymax", 35)):
            SubElement(box, corner).text = str(number)
    return tostring(root)


def class_list(images: dict[str, list[tuple[str, int]]], cls: str) -> list[tuple[str, int]]:
    """As VOC's ImageSets/Main/dog_trainval.txt: 1 shown, -1 not shown, 0 only as difficult."""
    lines = []
    for name, objects in images.items():
        difficult = [hard for found, hard in objects if found == cls]
        lines.append((name, -1 if not difficult else 0 if all(difficult) else 1))
    return lines


@pytest.fixture
def voc(tmp_path: Path) -> LabelledDataset:
    folder = tmp_path / "VOCdevkit" / "VOC2007"
    for sub in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (folder / sub).mkdir(parents=True)
    for part, images in (("trainval", TRAIN), ("test", TEST)):
        (folder / "ImageSets/Main" / f"{part}.txt").write_text("\n".join(images) + "\n")
        for cls in ("dog", "cat", "person"):
            lines = [f"{name} {label:2d}\n" for name, label in class_list(images, cls)]
            (folder / "ImageSets/Main" / f"{cls}_{part}.txt").write_text("".join(lines))
        for name, objects in images.items():
            (folder / "Annotations" / f"{name}.xml").write_bytes(annotation(name, objects))
            Image.new("RGB", (50, 40)).save(folder / "JPEGImages" / f"{name}.jpg")
    plain = dataset_spec("voc2007").model_dump(mode="json", exclude={"name"})
    spec = dataset_spec("it", {"it": {**plain, "splits": {"train": 4, "test": 2}}})
    return open_dataset(spec, tmp_path)


def test_labels_are_those_of_vocs_own_lists_by_class(voc: LabelledDataset) -> None:
    folder = voc.root
    assert folder is not None
    ours = {1: 1, -1: 0, 0: -1}
    for split, part in (("train", "trainval"), ("test", "test")):
        labels = voc.labels(split)
        for cls, number in (("dog", DOG), ("cat", CAT), ("person", PERSON)):
            text = (folder / f"VOC2007/ImageSets/Main/{cls}_{part}.txt").read_text()
            wanted = [ours[int(line.split()[1])] for line in text.splitlines()]
            assert labels[:, number].tolist() == wanted
        assert (np.delete(labels, [DOG, CAT, PERSON], axis=1) == 0).all()


def test_one_object_that_is_not_difficult_is_enough(voc: LabelledDataset) -> None:
    assert voc.labels("train")[:, DOG].tolist() == [1, 0, 0, 0]
    assert voc.labels("train")[:, PERSON].tolist() == [0, -1, 1, 0]
    assert voc.labels("train")[:, CAT].tolist() == [0, 0, -1, 0]
    assert voc.labels("test")[:, DOG].tolist() == [-1, 0]
    assert voc.class_names()[DOG] == "dog"


def test_an_image_without_objects_shows_nothing_and_is_kept(voc: LabelledDataset) -> None:
    assert (voc.labels("train")[3] == 0).all()
    assert len(voc.images("train")) == 4
