"""Data on which nothing can be measured: what is wrong with it, where, and what to do."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sslbench.data.datasets import LabelledDataset, check_dataset, open_dataset
from sslbench.data.spec import DatasetSpec, dataset_spec
from sslbench.errors import DataError


def lists(root: Path, train: list[int], test: list[int], **changes: Any) -> DatasetSpec:
    """Lists of images with these labels, of three classes; each split has its own folder."""
    for split, labels in (("train", train), ("test", test)):
        folder = root / "it" / split
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(len(labels)):
            Image.new("RGB", (4, 4)).save(folder / f"{number}.png")
        lines = [f"{number}.png {label}\n" for number, label in enumerate(labels)]
        (root / "it" / f"{split}.txt").write_text("".join(lines))
    (root / "it" / "names.txt").write_text("ant 0\nbee 1\ncod 2\n")
    options = {
        "lists": {"train": "train.txt", "test": "test.txt"},
        "images": {"train": "train", "test": "test"},
        "names": "names.txt",
    }
    tree = {
        "levels": [{"name": "animal", "classes": 3}],
        "splits": {"train": None, "test": None},
        "source": "csv_list",
        "folder": "it",
        "options": {**options, **changes.pop("options", {})},
        **changes,
    }
    return dataset_spec("it", {"it": tree})


def folders(root: Path, train: dict[str, int], test: dict[str, int], **changes: Any) -> DatasetSpec:
    for split, counts in (("train", train), ("test", test)):
        for cls, count in counts.items():
            (root / "it" / split / cls).mkdir(parents=True)
            for k in range(count):
                Image.new("RGB", (4, 4)).save(root / "it" / split / cls / f"{k}.png")
    tree = {
        "levels": [{"name": "animal", "classes": len(train)}],
        "splits": {"train": None, "test": None},
        "source": "folder",
        "folder": "it",
        **changes,
    }
    return dataset_spec("it", {"it": tree})


def refusal(data: LabelledDataset) -> str:
    with pytest.raises(DataError) as caught:
        data.check_measurable()
    return str(caught.value)


def test_data_with_every_class_in_both_splits_can_be_measured_on(tmp_path: Path) -> None:
    open_dataset(lists(tmp_path, [0, 1, 2], [2, 1, 0]), tmp_path).check_measurable()
    for name in ("objects_tiny", "scenes_tiny", "canvases_tiny"):
        open_dataset(dataset_spec(name), None).check_measurable()


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_class_without_images_is_named_with_its_split(tmp_path: Path, split: str) -> None:
    labels = {"train": [0, 1, 2, 2], "test": [0, 1, 2, 2], split: [0, 0, 2]}
    text = refusal(open_dataset(lists(tmp_path, **labels), tmp_path))
    assert text.startswith(f"it, {split}: no image of animal 'bee'; an evaluation needs every")
    assert "Add images of it" in text


def test_all_faults_come_in_one_message(tmp_path: Path) -> None:
    data = open_dataset(lists(tmp_path, [1, 1], [2]), tmp_path)
    lines = refusal(data).splitlines()
    assert lines[0] == "it: nothing to measure on:"
    assert "it, train: no image of animal 'ant', 'cod'" in lines[1]
    assert "it, test: 1 images, at least 2 expected" in lines[2]
    assert "it, test: no image of animal 'ant', 'bee'" in lines[3]


def test_a_subset_that_loses_a_class_is_told_to_grow(tmp_path: Path) -> None:
    spec = lists(tmp_path, [0] * 30 + [1] * 30 + [2], [0, 1, 2], subset={"train": 10})
    text = refusal(open_dataset(spec, tmp_path))
    assert "it, train: no image of animal 'cod'" in text
    assert "Set a subset.train larger than 10" in text
    open_dataset(spec.model_copy(update={"subset": {"train": 61}}), tmp_path).check_measurable()
    one = open_dataset(spec.model_copy(update={"subset": {"test": 1}}), tmp_path)
    assert "1 images, at least 2 expected. Set a larger subset.test" in refusal(one)


def test_such_data_still_has_its_images_for_pre_training(tmp_path: Path) -> None:
    data = open_dataset(lists(tmp_path, [1, 1, 1], [1]), tmp_path)
    assert len(data.images("train")) == 3
    refusal(data)
    alone = folders(tmp_path / "alone", {"all": 3}, {"all": 1})
    data = open_dataset(alone, tmp_path / "alone")
    assert len(data.images("train")) == 3
    assert len(data.digest) == 64


def test_names_in_lists_keep_their_commas_and_spaces(tmp_path: Path) -> None:
    spec = lists(tmp_path, [0], [1])
    folder = tmp_path / "it" / "train" / "Paris, France"
    folder.mkdir()
    Image.new("RGB", (4, 4), (9, 9, 9)).save(folder / "a b.png")
    (tmp_path / "it" / "train.txt").write_text("Paris, France/a b.png 2\n0.png,0\n")
    data = open_dataset(spec, tmp_path)
    assert data.labels("train")[:, 0].tolist() == [2, 0]
    assert int(data.images("train").read(0).max()) == 9


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("0.png \N{SUPERSCRIPT TWO}\n".encode(), "line 1: .* is not 'path label'"),
        ("gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n.png 0\n".encode("latin-1"), "as UTF-8 text"),
    ],
)
def test_a_list_that_cannot_be_read_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    spec = lists(tmp_path, [0], [1])
    (tmp_path / "it" / "train.txt").write_bytes(content)
    with pytest.raises(DataError, match=rf"train\.txt.*{message}"):
        open_dataset(spec, tmp_path).images("train")


def test_one_test_image_is_too_few_for_boxes_too() -> None:
    changes = {"canvases_tiny": {"splits": {"train": 12, "test": 1}}}
    text = refusal(open_dataset(dataset_spec("canvases_tiny", changes), None))
    assert text == "canvases_tiny, test: 1 images, at least 2 expected. Add images"


def test_a_group_without_classes_is_found_while_planning(tmp_path: Path) -> None:
    levels = [{"name": "animal", "classes": 2}, {"name": "kind", "classes": 2}]
    groups = {"kind": {"insects": ["ant", "bee"]}}
    counts = {"ant": 1, "bee": 1}
    spec = folders(tmp_path, counts, counts, levels=levels, options={"groups": groups})
    (fault,) = check_dataset(spec, tmp_path)
    assert "options.groups.kind has 1 groups, levels has 2" in fault
    groups["kind"]["fish"] = []
    spec = spec.model_copy(update={"options": {"groups": groups}})
    assert not check_dataset(spec, tmp_path)
    assert "it, train: no image of kind 'fish'" in refusal(open_dataset(spec, tmp_path))


@pytest.mark.parametrize(
    ("test", "difference"),
    [
        ({"ant": 1}, "without bee"),
        ({"ant": 1, "bee": 1, "cod": 1}, "with cod"),
        ({"Ant": 1, "bee": 1}, "without ant and with Ant"),
    ],
)
def test_class_folders_that_differ_between_splits_are_told_apart(
    tmp_path: Path, test: dict[str, int], difference: str
) -> None:
    spec = folders(tmp_path, {"ant": 1, "bee": 1}, test)
    (fault,) = check_dataset(spec, tmp_path)
    where = tmp_path / "it" / "test"
    assert f"it, test: other class folders than in train, {difference}, in {where}" in fault


def test_labels_of_lists_beyond_the_classes_are_found_while_planning(tmp_path: Path) -> None:
    spec = lists(tmp_path, [1, 2, 3], [0, 1, 3], options={"first_label": 1})
    (fault,) = check_dataset(spec, tmp_path)
    assert "it, test: labels in" in fault
    assert "run from -1 to 2, expected 0 to 2 (levels has 3 classes, first_label is 1)" in fault


def test_lists_have_one_level(tmp_path: Path) -> None:
    levels = [{"name": "animal", "classes": 3}, {"name": "kind", "classes": 2}]
    (fault,) = check_dataset(lists(tmp_path, [0, 1, 2], [0, 1, 2], levels=levels), tmp_path)
    assert "lists hold one label an image, 2 levels expected: keep only the finest" in fault


def test_a_file_in_train_and_in_test_is_named(tmp_path: Path) -> None:
    images = {"images": {"train": "train", "test": "train"}}
    spec = lists(tmp_path, [0, 1, 2, 2], [0, 1, 2], options=images)
    text = refusal(open_dataset(spec, tmp_path))
    assert "it: 3 of 3 test images are also in train: 0.png, 1.png, 2.png" in text
    again = {"splits": {"test": "train"}}
    spec = folders(tmp_path / "one", {"ant": 2, "bee": 2}, {}, options=again)
    text = refusal(open_dataset(spec, tmp_path / "one"))
    assert "4 of 4 test images are also in train: ant/0.png, ant/1.png" in text


def test_a_class_of_one_image_cannot_be_held_out(tmp_path: Path) -> None:
    spec = folders(tmp_path, {"ant": 3, "bee": 1}, {"ant": 1, "bee": 1})
    data = open_dataset(spec, tmp_path)
    data.check_measurable()  # nothing is wrong where nothing is selected
    with pytest.raises(DataError, match=r"it, train: one image only of animal 'bee'.*needs 2 of"):
        data.held_out(0)


def test_too_few_images_of_detection_to_hold_one_out() -> None:
    changes = {"canvases_tiny": {"splits": {"train": 5, "test": 2}}}
    data = open_dataset(dataset_spec("canvases_tiny", changes), None)
    with pytest.raises(DataError, match="5 images, of which a tenth is none"):
        data.held_out(0)
