"""Miniature VOC and COCO trees in the real layouts, written by the tests and read back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sslbench.data.datasets import check_dataset, open_dataset
from sslbench.data.spec import DatasetSpec, dataset_spec
from sslbench.errors import DataError


def spec(name: str, **changes: Any) -> DatasetSpec:
    return dataset_spec("it", {"it": {**_plain(name), **changes}})


def _plain(name: str) -> dict[str, Any]:
    return dataset_spec(name).model_dump(mode="json", exclude={"name"})


def levels(*classes: int) -> list[dict[str, Any]]:
    return [{"name": f"level{k}", "classes": count} for k, count in enumerate(classes)]


# ---- VOC --------------------------------------------------------------------------------------

OBJECT = """<object><name>{}</name><difficult>{}</difficult><bndbox><xmin>{}</xmin><ymin>{}</ymin>
<xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"""


def _voc(
    root: Path, lists: dict[str, list[str]], objects: dict[str, list[tuple[Any, ...]]]
) -> None:
    """``lists``: {VOC2007/trainval: [names]}; images of 50 x 40 pixels."""
    for entry, names in lists.items():
        year, part = entry.split("/")
        folder = root / "VOCdevkit" / year
        for sub in ("ImageSets/Main", "Annotations", "JPEGImages"):
            (folder / sub).mkdir(parents=True, exist_ok=True)
        (folder / "ImageSets" / "Main" / f"{part}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            Image.new("RGB", (50, 40)).save(folder / "JPEGImages" / f"{name}.jpg")
            items = "".join(OBJECT.format(*item) for item in objects[name])
            size = "<size><width>50</width><height>40</height><depth>3</depth></size>"
            text = f"<annotation>{size}{items}</annotation>"
            (folder / "Annotations" / f"{name}.xml").write_text(text)


LISTS = {
    "VOC2007/trainval": ["000001"],
    "VOC2007/test": ["000002"],
    "VOC2012/trainval": ["2008_1"],
}
OBJECTS: dict[str, list[tuple[Any, ...]]] = {
    "000001": [("dog", 0, 1, 1, 50, 40), ("person", 1, 11, 6, 20, 30), ("cat", 1, 2, 2, 9, 9)],
    "000002": [("cat", 0, 5, 5, 25, 35)],
    "2008_1": [("person", 0, 2, 3, 4, 5), ("person", 1, 8, 8, 20, 20)],
}
DOG, CAT, PERSON = 11, 7, 14


def test_voc_0712_joins_the_years(tmp_path: Path) -> None:
    _voc(tmp_path, LISTS, OBJECTS)
    data = open_dataset(spec("voc0712", splits={"train": 2, "test": 1}), tmp_path)
    first, second = data.boxes("train")
    assert first.xyxy.tolist() == [[0, 0, 50, 40], [10, 5, 20, 30], [1, 1, 9, 9]]
    assert first.classes.tolist() == [DOG, PERSON, CAT]
    assert first.ignore.tolist() == [False, True, True]
    assert second.xyxy.tolist() == [[1, 2, 4, 5], [7, 7, 20, 20]]
    assert [path.name for path in data.images("train").paths] == ["000001.jpg", "2008_1.jpg"]
    assert len(data.boxes("test")) == 1


def test_voc_2007_as_a_set_of_several_labels(tmp_path: Path) -> None:
    _voc(tmp_path, LISTS, OBJECTS)
    data = open_dataset(spec("voc2007", splits={"train": 1, "test": 1}), tmp_path)
    expected = np.zeros(20, dtype=np.int64)
    expected[DOG], expected[PERSON], expected[CAT] = 1, -1, -1
    np.testing.assert_array_equal(data.labels("train")[0], expected)
    with pytest.raises(DataError, match="no boxes: its task is multilabel"):
        data.boxes("train")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (("horsefly", 0, 1, 1, 5, 5), r"000002.xml: object 1 is a 'horsefly'"),
        (
            ("cat", 0, 5, 5, 53, 9),
            r"object 1 \(cat\) has the box \(4, 4, 53, 9\), outside its image",
        ),
        (("cat", 0, -3, 5, 20, 9), r"outside its image of 50 x 40 pixels"),
        (("cat", 0, "left", 5, 20, 9), r"bndbox/xmin is 'left', a number expected"),
        (("cat", 0, "nan", 5, 20, 9), r"has the box \(nan, 4, 20, 9\), outside its image"),
        (("cat", 0, 2, 5, "-inf", 9), r"has the box \(1, 4, -inf, 9\), outside its image"),
    ],
)
def test_wrong_annotations_name_file_and_object(
    tmp_path: Path, item: tuple[Any, ...], message: str
) -> None:
    _voc(tmp_path, LISTS, {**OBJECTS, "000002": [item]})
    data = open_dataset(spec("voc0712", splits={"train": 2, "test": 1}), tmp_path)
    with pytest.raises(DataError, match=message):
        data.boxes("test")


def test_rounding_is_clipped_and_a_box_without_area_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    items = [("cat", 0, 0, 1, 51, 40), ("dog", 0, 9, 9, 8, 20)]
    _voc(tmp_path, LISTS, {**OBJECTS, "000002": items})
    data = open_dataset(spec("voc0712", splits={"train": 2, "test": 1}), tmp_path)
    (boxes,) = data.boxes("test")
    assert boxes.xyxy.tolist() == [[0, 0, 50, 40]]
    assert boxes.left_out == 1
    assert boxes.areas.tolist() == [2000]
    assert "object 2 (dog) has a box without area; left out" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "no element found"),
        (b"<annotation><size>", "no element found|mismatched"),
        (b"<annotation/>", "size/width is None, a number expected"),
        (b'<!DOCTYPE a [<!ENTITY x "yes">]><annotation>&x;</annotation>', "document type"),
        (b'<!DOCTYPE annotation SYSTEM "http://127.0.0.1/x.dtd"><annotation/>', "document type"),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "document type"),
        (b'<?xml version="1.0" encoding="euc-jp"?><annotation/>', "cannot be read"),
        (b"<annotation>\xff</annotation>", "not well-formed"),
    ],
)
def test_a_broken_or_a_malicious_annotation_is_refused(
    tmp_path: Path, text: bytes, message: str
) -> None:
    _voc(tmp_path, LISTS, OBJECTS)
    (tmp_path / "VOCdevkit/VOC2007/Annotations/000002.xml").write_bytes(text)
    data = open_dataset(spec("voc0712", splits={"train": 2, "test": 1}), tmp_path)
    with pytest.raises(DataError, match=rf"000002\.xml: .*({message})"):
        data.boxes("test")


def test_a_list_that_is_no_text_is_a_fault(tmp_path: Path) -> None:
    _voc(tmp_path, LISTS, OBJECTS)
    made = spec("voc0712", splits={"train": 2, "test": 1})
    (tmp_path / "VOCdevkit/VOC2007/ImageSets/Main/test.txt").write_bytes(b"\xff\xfe0")
    (fault,) = check_dataset(made, tmp_path)
    assert "test.txt: cannot be read as a list of images" in fault


def test_missing_files_of_voc_are_named(tmp_path: Path) -> None:
    _voc(tmp_path, LISTS, OBJECTS)
    made = spec("voc0712", splits={"train": 2, "test": 1})
    (tmp_path / "VOCdevkit/VOC2012/JPEGImages/2008_1.jpg").unlink()
    (fault,) = check_dataset(made, tmp_path)
    assert "1 of 1 files are not in" in fault
    assert "2008_1.jpg" in fault
    (tmp_path / "VOCdevkit/VOC2012/ImageSets/Main/trainval.txt").unlink()
    assert "no list" in check_dataset(made, tmp_path)[0]


# ---- COCO -------------------------------------------------------------------------------------


def _coco(root: Path, annotations: list[dict[str, Any]]) -> DatasetSpec:
    folder = root / "coco"
    for split in ("train2017", "val2017"):
        (folder / split).mkdir(parents=True, exist_ok=True)
        for name in ("000000000009.jpg", "000000000004.jpg"):
            Image.new("RGB", (20, 20)).save(folder / split / name)
        images = [
            {"id": number, "file_name": f"{number:012d}.jpg", "width": 20, "height": 20}
            for number in (9, 4)
        ]
        tree = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}],
        }
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(tree))
    return spec("coco2017", levels=levels(2), splits={"train": 2, "test": 2})


def _annotation(number: int, image: int, category: int, box: list[float], crowd: int = 0) -> Any:
    return {
        "id": number, "image_id": image, "category_id": category, "bbox": box, "iscrowd": crowd
    }  # fmt: skip


def test_coco_boxes_and_crowds(tmp_path: Path) -> None:
    found = [
        _annotation(1, 9, 90, [2, 3, 10, 4.5]),
        _annotation(2, 9, 1, [0, 0, 20, 20.4], crowd=1),
        _annotation(3, 9, 1, [5, 5, 0, 7]),
    ]
    data = open_dataset(_coco(tmp_path, found), tmp_path)
    assert data.class_names() == ["person", "toothbrush"]
    empty, full = data.boxes("train")  # image 4 comes before image 9
    assert empty.xyxy.shape == (0, 4)
    assert full.xyxy.tolist() == [[2, 3, 12, 7.5], [0, 0, 20, 20]]
    assert full.classes.tolist() == [1, 0]
    assert full.ignore.tolist() == [False, True]
    assert (empty.left_out, full.left_out) == (0, 1)
    assert full.areas.tolist() == [45, 408]  # of the boxes as they are given
    assert data.labels("train").tolist() == [[0, 0], [-1, 1]]
    assert data.images("train").paths[0].name == "000000000004.jpg"
    assert len(data.digest) == 64


def test_the_pixels_that_an_object_covers_are_kept(tmp_path: Path) -> None:
    outlined = {**_annotation(2, 9, 1, [0, 0, 20, 20]), "area": 123.5}
    flat = {**_annotation(3, 9, 1, [5, 5, 0, 7]), "area": 1.0}
    last = {**_annotation(4, 9, 90, [1, 1, 2, 2]), "area": 3.0}
    data = open_dataset(_coco(tmp_path, [outlined, flat, last]), tmp_path)
    assert data.boxes("test")[1].areas.tolist() == [123.5, 3.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": []}, "lists no image"),
        ({"images": 2 * [{"id": 9, "file_name": "a", "width": 1, "height": 1}]}, "image 9 twice"),
        ({"images": [{"id": 9, "file_name": None, "width": 1, "height": 1}]}, "file_name is None"),
        ({"annotations": [_annotation(7, 9, 1, [0, 0, 1])]}, "not COCO annotations"),
        ({"annotations": [_annotation(7, 9, 1, [0, 0, 1, None])]}, "not COCO annotations"),
        ({"annotations": ["box"]}, "not COCO annotations"),
        ({"annotations": [_annotation(7, 9, 1, [0, 0, float("nan"), 3])]}, "annotation 7 has the"),
        ({"categories": [{"id": 1, "name": "person"}]}, "1 categories, 2 expected"),
    ],
)
def test_annotations_that_are_none_of_coco_are_named(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    made = _coco(tmp_path, [])
    file = tmp_path / "coco/annotations/instances_train2017.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(DataError, match=rf"instances_train2017\.json.*{message}"):
        open_dataset(made, tmp_path).boxes("train")


def test_an_empty_file_of_annotations_is_a_fault(tmp_path: Path) -> None:
    made = _coco(tmp_path, [])
    (tmp_path / "coco/annotations/instances_val2017.json").write_bytes(b"")
    assert "it, test: no annotations" in check_dataset(made, tmp_path)[0]


def test_images_that_are_listed_but_absent_are_counted_and_named(tmp_path: Path) -> None:
    made = _coco(tmp_path, [])
    folder = tmp_path / "coco/val2017"
    (folder / "000000000009.jpg").rename(folder / "another.jpg")  # as many files as expected
    with pytest.raises(DataError, match=r"1 of 2 images that it lists.*: 000000000009\.jpg"):
        open_dataset(made, tmp_path).boxes("test")


def test_faults_of_coco_are_named(tmp_path: Path) -> None:
    made = _coco(tmp_path, [_annotation(7, 9, 5, [0, 0, 1, 1])])
    with pytest.raises(DataError, match="annotation 7 has the unknown category 5"):
        open_dataset(made, tmp_path).boxes("train")
    made = _coco(tmp_path, [_annotation(7, 123, 1, [0, 0, 1, 1])])
    with pytest.raises(DataError, match="annotations of image 123, which is not listed"):
        open_dataset(made, tmp_path).boxes("train")
    made = _coco(tmp_path, [_annotation(7, 9, 1, [15, 0, 9, 9])])
    with pytest.raises(DataError, match=r"000000000009.jpg: annotation 7 has the box"):
        open_dataset(made, tmp_path).boxes("train")
    file = tmp_path / "coco/annotations/instances_val2017.json"
    file.write_text(file.read_text().replace("toothbrush", "tooth brush"))
    with pytest.raises(DataError, match=r"it, test: other categories.*'tooth brush'.*'toothbrush'"):
        open_dataset(made, tmp_path).boxes("test")
    (tmp_path / "coco/annotations/instances_val2017.json").write_text('{"images": 3}')
    with pytest.raises(DataError, match="not COCO annotations"):
        open_dataset(made, tmp_path).boxes("test")
    (tmp_path / "coco/annotations/instances_val2017.json").unlink()
    assert "no annotations" in check_dataset(made, tmp_path)[0]
