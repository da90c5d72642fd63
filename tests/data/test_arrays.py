"""Images of one size in .npy files: mapped, read in batches, as if they were held in memory."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sslbench.data import images as images_module
from sslbench.data.checks import shared_faults
from sslbench.data.datasets import check_dataset, chosen_images, open_dataset
from sslbench.data.images import HeldImages, MappedImages, held
from sslbench.data.loaders import ViewLoader, embed_batches
from sslbench.data.recipe import ViewConfig, recipe
from sslbench.data.spec import DatasetSpec, dataset_spec
from sslbench.errors import ConfigError, DataError

CPU = torch.device("cpu")
PIXELS = np.random.default_rng(0).integers(0, 256, (11, 3, 16, 16), dtype=np.uint8)


def spec(**changes: Any) -> DatasetSpec:
    tree = {
        "levels": [{"name": "class", "classes": 3}],
        "splits": {"train": 11, "test": 2},
        "source": "arrays",
        "folder": "it",
        "image_size": 16,
        "options": {
            "images": {"train": "train.npy", "test": "test.npy"},
            "labels": {"train": "train_labels.npy", "test": "test_labels.npy"},
        },
        **changes,
    }
    return dataset_spec("it", {"it": tree})


def written(root: Path) -> DatasetSpec:
    """Train is N x 3 x H x W, test N x H x W x 3."""
    folder = root / "it"
    folder.mkdir(exist_ok=True)
    np.save(folder / "train.npy", PIXELS)
    np.save(folder / "train_labels.npy", np.arange(11, dtype=np.uint8) % 3)
    np.save(folder / "test.npy", np.ascontiguousarray(PIXELS[5:7].transpose(0, 2, 3, 1)))
    np.save(folder / "test_labels.npy", np.array([2, 0]))
    return spec()


def loader(images: HeldImages | MappedImages) -> ViewLoader:
    layout = (ViewConfig(), ViewConfig(size=0.5))
    return ViewLoader(
        images, recipe("moco_v2"), layout, 16, 3, 0, device=CPU, workers=0, path="batched"
    )


def test_both_orders_of_channels_are_read(tmp_path: Path) -> None:
    data = open_dataset(written(tmp_path), tmp_path)
    train, test = data.images("train"), data.images("test")
    assert isinstance(train, MappedImages)
    assert torch.equal(held(train).pixels, torch.from_numpy(PIXELS))
    assert torch.equal(held(test).pixels, torch.from_numpy(PIXELS[5:7]))
    assert data.labels("train")[:, 0].tolist() == [0, 1, 2] * 3 + [0, 1]
    assert data.labels("test").tolist() == [[2], [0]]
    assert test.batch(torch.tensor([1])).is_contiguous()
    assert shared_faults(data.spec, train, test) == []


def test_batches_are_those_of_images_in_memory(tmp_path: Path) -> None:
    mapped = open_dataset(written(tmp_path), tmp_path).images("train")
    in_memory = HeldImages(torch.from_numpy(PIXELS))
    assert isinstance(mapped, MappedImages)
    for epoch, start in ((0, 0), (1, 2), (2, 3)):
        made = list(loader(mapped).epoch(epoch, start))
        expected = list(loader(in_memory).epoch(epoch, start))
        assert len(made) == len(expected) == 3 - start
        for (views, index), (others, order) in zip(made, expected, strict=True):
            assert torch.equal(index, order)
            assert all(torch.equal(a, b) for a, b in zip(views, others, strict=True))
    assert loader(mapped).images is mapped  # not read into memory
    for a, b in zip(*(embed_batches(s, 12, 4, CPU, 0) for s in (mapped, in_memory)), strict=True):
        assert torch.equal(a, b)


def test_parts_of_a_split_and_copies_in_other_processes_keep_their_images(tmp_path: Path) -> None:
    train = open_dataset(written(tmp_path), tmp_path).images("train")
    part = chosen_images(chosen_images(train, np.array([9, 4, 2])), np.array([2, 0]))
    assert isinstance(part, MappedImages)
    content = pickle.dumps(part)
    assert len(content) < PIXELS.nbytes / 2
    for one in (part, pickle.loads(content)):
        assert len(one) == 2
        assert torch.equal(one.read(0), torch.from_numpy(PIXELS[2]))
        assert torch.equal(one.batch(torch.tensor([1, 0])), torch.from_numpy(PIXELS[[9, 2]]))
    with pytest.raises(IndexError):
        part.read(2)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_what_was_read_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def resident() -> int:  # of mapped files, in bytes
        return int(Path("/proc/self/statm").read_text().split()[2]) * 4096

    monkeypatch.setattr(images_module, "_MAPPED_BYTES", 2**23)
    path = tmp_path / "large.npy"
    stored = np.lib.format.open_memmap(path, "w+", np.uint8, (1024, 3, 128, 128))
    stored[:] = np.arange(1024, dtype=np.uint64)[:, None, None, None] % 251
    del stored
    images = MappedImages(path)
    before = resident()
    most = 0
    for index in torch.randperm(1024).split(64):
        pixels = images.batch(index)
        assert torch.equal(pixels[:, 2, 5, 9], (index % 251).to(torch.uint8))
        most = max(most, resident() - before)
    assert most < 2**24 < 3 * 1024 * 128 * 128


@pytest.mark.parametrize(
    ("array", "fault"),
    [
        (PIXELS.astype(np.float32), "float32 of shape"),
        (PIXELS[:, :2], "expected: uint8 of N x 3 x H x W or N x H x W x 3"),
        (PIXELS[0], "of shape (3, 16, 16)"),
        (np.asfortranarray(PIXELS), "in Fortran's order"),
        (np.array([{}], dtype=object), "cannot be read as a .npy file"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, array: NDArray[Any], fault: str) -> None:
    made = written(tmp_path)
    np.save(tmp_path / "it" / "train.npy", array, allow_pickle=True)
    (found,) = check_dataset(made, tmp_path)
    assert found.startswith(str(tmp_path / "it" / "train.npy"))
    assert fault in found


def test_faults_are_described(tmp_path: Path) -> None:
    made = written(tmp_path)
    folder = tmp_path / "it"
    content = (folder / "train.npy").read_bytes()
    (folder / "train.npy").write_bytes(content[:-1])
    (fault,) = check_dataset(made, tmp_path)
    assert "train.npy: cannot be read as a .npy file" in fault
    (folder / "train.npy").write_bytes(content)
    np.save(folder / "test_labels.npy", np.array([3]))
    first, second, *_ = check_dataset(spec(image_size=32), tmp_path)
    assert "it, train: images of 16 x 16 pixels in" in first
    assert "it, test: images of 16 x 16" in second
    faults = "\n".join(check_dataset(spec(splits={"train": 12, "test": 2}), tmp_path))
    assert "it, train: 11 images in" in faults
    assert "test_labels.npy run from 3 to 3, expected 0 to 2" in faults
    assert "it, test: 1 labels in" in faults
    np.save(folder / "test_labels.npy", np.array([0.0, 1.0]))
    (fault,) = check_dataset(made, tmp_path)
    assert "float64 of shape (2,); expected: one whole number an image" in fault
    (folder / "test_labels.npy").unlink()
    (fault,) = check_dataset(made, tmp_path)
    assert f"no file {folder / 'test_labels.npy'}" in fault
    with pytest.raises(ConfigError, match="arrays hold images of one size"):
        check_dataset(spec(image_size=None), tmp_path)
    with pytest.raises(ConfigError, match="images: none for test"):
        check_dataset(spec(options={"images": {"train": "a"}, "labels": {}}), tmp_path)


def test_a_split_may_have_no_labels_and_test_images_are_no_training_images(tmp_path: Path) -> None:
    written(tmp_path)
    files = {"train": "train.npy", "test": "train.npy"}
    options = {"images": files, "labels": {"test": "train_labels.npy"}}
    data = open_dataset(spec(splits={"train": 11, "test": 11}, options=options), tmp_path)
    with pytest.raises(DataError, match="'train' has no labels"):
        data.labels("train")
    with pytest.raises(DataError, match=r"train and test are both .*train\.npy"):
        data.check_measurable()


def test_names_and_groups_give_classes_and_upper_levels(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "it" / "classes.txt").write_text("ant\nbee\n\ncod\n")
    groups = {"kind": {"fish": ["cod"], "insects": ["ant", "bee"]}}
    made = spec(
        levels=[{"name": "class", "classes": 3}, {"name": "kind", "classes": 2}],
        options={**spec().options, "names": "classes.txt", "groups": groups},
    )
    data = open_dataset(made, tmp_path)
    assert data.class_names() == ["ant", "bee", "cod"]
    assert data.labels("test").tolist() == [[2, 0], [0, 1]]
