"""Miniature data sets in the real layouts, written by the tests and read back."""

import gzip
import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from sslbench.data.datasets import check_dataset, open_dataset
from sslbench.data.spec import DatasetSpec, dataset_spec
from sslbench.errors import DataError


def picture(path: Path, colour: tuple[int, int, int] = (200, 30, 60), size: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), colour).save(path)


def spec(name: str, **changes: Any) -> DatasetSpec:
    return dataset_spec("it", {"it": {**_plain(name), **changes}})


def _plain(name: str) -> dict[str, Any]:
    return dataset_spec(name).model_dump(mode="json", exclude={"name"})


def levels(*classes: int) -> list[dict[str, Any]]:
    return [{"name": f"level{k}", "classes": count} for k, count in enumerate(classes)]


# ---- folders ----------------------------------------------------------------------------------


def test_synset_folders_are_read_in_sorted_order(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("val", 1)):
        for synset in ("n02", "n01", "n10"):
            for k in range(count):
                picture(tmp_path / "imagenet" / part / synset / f"{synset}_{k}.JPEG")
    (tmp_path / "imagenet" / "train" / "n01" / "notes.txt").write_text("passed over")
    (tmp_path / "imagenet" / "train" / ".cache").mkdir()
    data = open_dataset(
        spec("imagenet", levels=levels(3), splits={"train": 9, "test": 3}), tmp_path
    )
    assert data.class_names() == ["n01", "n02", "n10"]
    assert data.labels("train")[:, 0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert data.labels("test")[:, 0].tolist() == [0, 1, 2]
    assert data.images("train").paths[4].name == "n02_1.JPEG"
    assert data.images("test").read(0).shape == (3, 8, 8)


def test_grey_and_transparent_images_come_as_rgb(tmp_path: Path) -> None:
    for split in ("train", "test"):
        folder = tmp_path / "it" / split / "a"
        folder.mkdir(parents=True)
        Image.new("L", (5, 4), 77).save(folder / "grey.png")
        Image.new("RGBA", (5, 4), (10, 20, 30, 255)).save(folder / "rgba.png")
    data = open_dataset(
        spec("scene15", levels=levels(1), splits={"train": 2, "test": 2}, folder="it"), tmp_path
    )
    grey, colour = (data.images("train").read(k) for k in (0, 1))
    assert grey.dtype == torch.uint8
    assert grey.shape == (3, 4, 5)
    assert (grey == 77).all()
    assert colour[:, 0, 0].tolist() == [10, 20, 30]


def test_groups_give_the_upper_level(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for cls in ("ant", "bee", "cod"):
            picture(tmp_path / "it" / split / cls / "1.png")
    groups = {"level1": {"fish": ["cod"], "insects": ["ant", "bee"]}}
    made = spec(
        "scene15",
        levels=levels(3, 2),
        splits={"train": 3, "test": 3},
        folder="it",
        options={"groups": groups},
    )
    data = open_dataset(made, tmp_path)
    assert data.labels("train").tolist() == [[0, 1], [1, 1], [2, 0]]
    assert data.class_names(1) == ["fish", "insects"]


# ---- torchvision ------------------------------------------------------------------------------


def _cifar(folder: Path, monkeypatch: pytest.MonkeyPatch, cls: type, key: str, names: str) -> Any:
    """Two training files and a test file of four images each, with matching MD5 sums."""
    base = folder / cls.base_folder
    base.mkdir(parents=True)
    values = np.random.default_rng(0).integers(0, 256, (3, 4, 3072), dtype=np.uint8)
    sums = []
    for name, data in zip(("one", "two", "test"), values, strict=True):
        content = pickle.dumps({"data": data, key: [0, 1, 2, 1]})
        (base / name).write_bytes(content)
        sums.append([name, hashlib.md5(content).hexdigest()])
    meta = pickle.dumps({names: ["ant", "bee", "cod"]})
    (base / "meta").write_bytes(meta)
    monkeypatch.setattr(cls, "train_list", sums[:2])
    monkeypatch.setattr(cls, "test_list", sums[2:])
    monkeypatch.setattr(
        cls, "meta", {"filename": "meta", "key": names, "md5": hashlib.md5(meta).hexdigest()}
    )
    return values


def test_cifar_binaries_are_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cls = torchvision.datasets.CIFAR10
    values = _cifar(tmp_path / "cifar10", monkeypatch, cls, "labels", "label_names")
    data = open_dataset(spec("cifar10", levels=levels(3), splits={"train": 8, "test": 4}), tmp_path)
    expected = values[:2].reshape(8, 3, 32, 32)
    np.testing.assert_array_equal(data.images("train").pixels.numpy(), expected)
    assert data.labels("train")[:, 0].tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert data.class_names() == ["ant", "bee", "cod"]
    (tmp_path / "cifar10" / cls.base_folder / "two").write_bytes(b"cut short")
    with pytest.raises(DataError, match="corrupted"):
        open_dataset(data.spec, tmp_path).images("train")


def test_cifar100_has_its_superclasses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cls = torchvision.datasets.CIFAR100
    _cifar(tmp_path / "cifar100", monkeypatch, cls, "fine_labels", "fine_label_names")
    groups = {"superclass": {"insects": ["ant", "bee"], "fish": ["cod"]}}
    two = [{"name": "class", "classes": 3}, {"name": "superclass", "classes": 2}]
    options = {"name": "CIFAR100", "groups": groups}
    made = spec("cifar100", levels=two, splits={"train": 8, "test": 4}, options=options)
    assert open_dataset(made, tmp_path).labels("test").tolist() == [[0, 0], [1, 0], [2, 1], [1, 0]]


def test_the_catalogue_groups_all_hundred_classes_of_cifar100() -> None:
    groups = dataset_spec("cifar100").options["groups"]["superclass"]
    assert len(groups) == 20
    assert {len(classes) for classes in groups.values()} == {5}
    assert len({name for classes in groups.values() for name in classes}) == 100


def test_a_folder_of_classes_stands_in_for_the_binaries(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for cls in ("cat", "dog"):
            picture(tmp_path / "cifar10" / split / cls / "0000.png", size=32)
    data = open_dataset(spec("cifar10", levels=levels(2), splits={"train": 2, "test": 2}), tmp_path)
    assert data.class_names() == ["cat", "dog"]
    assert data.images("test").read(1).shape == (3, 32, 32)


def test_stl10_has_an_unlabelled_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "stl10" / "stl10_binary"
    folder.mkdir(parents=True)
    values = np.random.default_rng(0).integers(0, 256, (3, 2, 3, 96, 96), dtype=np.uint8)
    for name, part in zip(("train", "test", "unlabeled"), values, strict=True):
        part.tofile(folder / f"{name}_X.bin")
        np.array([1, 2], dtype=np.uint8).tofile(folder / f"{name}_y.bin")
    (folder / "class_names.txt").write_text("ant\nbee\n")
    monkeypatch.setattr(torchvision.datasets.STL10, "_check_integrity", lambda self: True)
    sizes = {"train": 2, "test": 2, "unlabeled": 2}
    data = open_dataset(spec("stl10", levels=levels(2), splits=sizes), tmp_path)
    # STL-10's files hold columns first.
    expected = values[0].transpose(0, 1, 3, 2)
    np.testing.assert_array_equal(data.images("train").pixels.numpy(), expected)
    assert data.labels("train")[:, 0].tolist() == [0, 1]
    assert len(data.images("unlabeled")) == 2
    with pytest.raises(DataError, match="'unlabeled' has no labels"):
        data.labels("unlabeled")


@pytest.mark.parametrize("place", ["", "FashionMNIST/raw"])
@pytest.mark.parametrize("packed", [True, False])
def test_fashion_mnist_idx_files(tmp_path: Path, place: str, packed: bool) -> None:
    folder = tmp_path / "fashion-mnist" / place
    folder.mkdir(parents=True)
    values = np.arange(2 * 28 * 28, dtype=np.int64).astype(np.uint8).reshape(2, 28, 28)
    for split in ("train", "t10k"):
        images = np.array([0x803, 2, 28, 28], dtype=">u4").tobytes() + values.tobytes()
        labels = np.array([0x801, 2], dtype=">u4").tobytes() + bytes([9, 0])
        for name, content in (("images-idx3", images), ("labels-idx1", labels)):
            file = folder / f"{split}-{name}-ubyte{'.gz' if packed else ''}"
            file.write_bytes(gzip.compress(content) if packed else content)
    data = open_dataset(spec("fashion_mnist", splits={"train": 2, "test": 2}), tmp_path)
    np.testing.assert_array_equal(data.images("test").pixels[:, 1].numpy(), values)
    assert [data.class_names()[k] for k in data.labels("train")[:, 0]] == [
        "ankle boot",
        "t-shirt/top",
    ]
    file.write_bytes(gzip.compress(content[:-1]) if packed else content[:-1])
    with pytest.raises(DataError, match="cut short"):
        open_dataset(data.spec, tmp_path).labels("test")


def test_dtd_trains_on_its_first_train_and_val_lists(tmp_path: Path) -> None:
    root = tmp_path / "dtd" / "dtd" / "dtd"
    (root / "labels").mkdir(parents=True)
    for part, number in (("train1", 1), ("val1", 2), ("test1", 3)):
        names = [f"{cls}/{cls}_{number}.jpg" for cls in ("banded", "zigzagged")]
        (root / "labels" / f"{part}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            picture(root / "images" / name)
    data = open_dataset(spec("dtd", levels=levels(2), splits={"train": 4, "test": 2}), tmp_path)
    assert data.class_names() == ["banded", "zigzagged"]
    assert data.labels("train")[:, 0].tolist() == [0, 1, 0, 1]
    assert data.images("test").paths[1].name == "zigzagged_3.jpg"
    (root / "labels" / "test1.txt").write_text("banded/banded_3.jpg\nzigzag/zigzagged_3.jpg\n")
    with pytest.raises(DataError, match=r"it, test: .*classes that train has not: zigzag"):
        open_dataset(data.spec, tmp_path).labels("test")
    (root / "labels" / "test1.txt").write_text("\n".join(names) + "\n")
    before = data.digest
    picture(root / "images" / "banded" / "banded_3.jpg", (1, 2, 3))
    assert open_dataset(data.spec, tmp_path).digest != before


# ---- lists ------------------------------------------------------------------------------------


def _places365(root: Path) -> DatasetSpec:
    folder = root / "places365"
    for place in ("data_256_standard", "val_256"):
        for name in ("a/airfield/1.jpg", "b/bar/1.jpg"):
            picture(folder / place / name)
    (folder / "places365_train_standard.txt").write_text("/a/airfield/1.jpg 0\n/b/bar/1.jpg 1\n")
    (folder / "places365_val.txt").write_text("b/bar/1.jpg 1\n")
    (folder / "categories_places365.txt").write_text("/b/bar 1\n/a/airfield 0\n")
    return spec("places365", levels=levels(2), splits={"train": 2, "test": 1})


def test_places365_lists(tmp_path: Path) -> None:
    data = open_dataset(_places365(tmp_path), tmp_path)
    assert data.class_names() == ["a/airfield", "b/bar"]
    assert data.labels("train").tolist() == [[0], [1]]
    assert data.images("test").paths[0] == tmp_path / "places365/val_256/b/bar/1.jpg"
    assert data.images("test").read(0).shape == (3, 8, 8)


def test_places205_lists(tmp_path: Path) -> None:
    made = spec("places205", levels=levels(2), splits={"train": 2, "test": 1})
    folder = tmp_path / "places205"
    images = folder / "data/vision/torralba/deeplearning/images256"
    for name in ("a/abbey/1.jpg", "b/bar/2.jpg"):
        picture(images / name)
    (folder / "trainvalsplit_places205").mkdir()
    lists = folder / "trainvalsplit_places205"
    (lists / "train_places205.csv").write_text("a/abbey/1.jpg 0\nb/bar/2.jpg 1\n")
    (lists / "val_places205.csv").write_text("b/bar/2.jpg 1\n")
    data = open_dataset(made, tmp_path)
    assert data.labels("test").tolist() == [[1]]
    assert data.images("train").paths[1] == images / "b/bar/2.jpg"


def test_faults_of_lists_are_named(tmp_path: Path) -> None:
    made = _places365(tmp_path)
    folder = tmp_path / "places365"
    (folder / "val_256" / "b" / "bar" / "1.jpg").unlink()
    (folder / "places365_train_standard.txt").write_text("/a/airfield/1.jpg 0\n/b/bar/1.jpg 2\n")
    faults = check_dataset(made, tmp_path)
    assert "run from 0 to 2, expected 0 to 1" in faults[0]
    assert "1 of 1 images looked for are not there" in faults[1]
    (folder / "places365_val.txt").write_text("b/bar/1.jpg bar\n")
    (fault,) = check_dataset(made, tmp_path)
    assert "places365_val.txt, line 1: 'b/bar/1.jpg bar' is not 'path label'" in fault
    (folder / "places365_val.txt").unlink()
    assert "no list" in check_dataset(made, tmp_path)[0]
