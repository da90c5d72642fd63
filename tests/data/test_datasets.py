"""Opening, checking, subsets, held-out images and digests."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sslbench.data.datasets import LabelledDataset, check_dataset, open_dataset
from sslbench.data.spec import DatasetSpec, catalogue, dataset_spec
from sslbench.errors import ConfigError, DataError


@pytest.fixture(autouse=True)
def _no_data_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSLBENCH_DATA", raising=False)
    monkeypatch.setattr("sslbench.data.datasets._SYSTEM", Path("/nowhere"))


def folders(root: Path, counts: dict[str, int], test: int = 1) -> DatasetSpec:
    """``it/{train,test}/CLASS/0001.png`` of distinct colours, and a spec that fits."""
    for split, split_counts in (("train", counts), ("test", dict.fromkeys(counts, test))):
        for number, (cls, count) in enumerate(split_counts.items()):
            (root / "it" / split / cls).mkdir(parents=True, exist_ok=True)
            for k in range(count):
                colour = (number, k % 256, k // 256)
                Image.new("RGB", (4, 4), colour).save(root / "it" / split / cls / f"{k:04d}.png")
    return _spec(counts, test)


def _spec(counts: dict[str, int], test: int = 1, **changes: Any) -> DatasetSpec:
    tree = {
        "levels": [{"name": "class", "classes": len(counts)}],
        "splits": {"train": sum(counts.values()), "test": test * len(counts)},
        "source": "folder",
        "folder": "it",
        **changes,
    }
    return dataset_spec("it", {"it": tree})


def test_every_data_set_of_the_catalogue_is_well_formed() -> None:
    for name in catalogue():
        spec = dataset_spec(name)
        (fault,) = check_dataset(spec, None) or [""]
        if spec.source == "rendered":
            assert fault == ""
        else:
            assert f"{name}: no data folder given" in fault
            assert "--data DIR or SSLBENCH_DATA" in fault


def test_a_missing_folder_says_where_it_was_looked_for(tmp_path: Path) -> None:
    (fault,) = check_dataset(dataset_spec("cifar10"), tmp_path)
    assert f"no folder {tmp_path / 'cifar10'}" in fault
    assert "--download" in fault
    (tmp_path / "cifar10").mkdir()
    (fault,) = check_dataset(dataset_spec("cifar10"), tmp_path)
    assert "cifar-10-batches-py" in fault  # both layouts are named
    assert str(tmp_path / "cifar10" / "train") in fault
    with pytest.raises(DataError, match="cifar-10-batches-py"):
        open_dataset(dataset_spec("cifar10"), tmp_path)


def test_the_environment_names_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = folders(tmp_path / "here", {"a": 2})
    monkeypatch.setenv("SSLBENCH_DATA", str(tmp_path / "here"))
    assert len(open_dataset(spec, None).images("train")) == 2
    assert check_dataset(spec, tmp_path / "elsewhere")  # an argument wins over the environment


def test_system_packages_are_looked_at_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = folders(tmp_path / "system", {"a": 2})
    monkeypatch.setattr("sslbench.data.datasets._SYSTEM", tmp_path / "system")
    assert open_dataset(spec, None).root == tmp_path / "system" / "it"
    folders(tmp_path / "own", {"a": 2})
    assert open_dataset(spec, tmp_path / "own").root == tmp_path / "own" / "it"


def test_half_unpacked_folders_are_described(tmp_path: Path) -> None:
    counts = {"a": 3, "b": 3, "c": 3}
    spec = folders(tmp_path, counts)
    assert check_dataset(spec, tmp_path) == []
    for file in (tmp_path / "it" / "train" / "b").iterdir():
        file.unlink()
    (tmp_path / "it" / "test" / "c" / "0000.png").unlink()
    (tmp_path / "it" / "test" / "c").rmdir()
    text = "\n".join(check_dataset(spec, tmp_path))
    assert "no images in the class folders b of" in text
    assert "it, train: 6 images in" in text
    assert "9 expected" in text
    assert "it, test: other class folders than in train, without c, in" in text
    with pytest.raises(DataError, match="cannot be used") as caught:
        open_dataset(spec, tmp_path)
    assert str(caught.value).count("\n") == len(check_dataset(spec, tmp_path))


def test_missing_class_and_split_folders_are_described(tmp_path: Path) -> None:
    spec = folders(tmp_path, {"a": 1, "b": 1})
    more = _spec({"a": 1, "b": 1, "c": 0})
    assert "2 class folders" in check_dataset(more, tmp_path)[0]
    (tmp_path / "it" / "test").rename(tmp_path / "it" / "val")
    (fault,) = check_dataset(spec, tmp_path)
    assert f"no folder {tmp_path / 'it' / 'test'}" in fault


def test_what_cannot_be_downloaded_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot download it.*SSLBENCH_DATA.*image-net.org"):
        open_dataset(dataset_spec("imagenet"), tmp_path, download=True)


def test_a_failed_download_is_a_data_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*arguments: object, **options: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.CIFAR10", unreachable)
    with pytest.raises(DataError, match=r"download into .*no network"):
        open_dataset(dataset_spec("cifar10"), tmp_path, download=True)


def test_an_unreadable_image_names_its_file_when_it_is_read(tmp_path: Path) -> None:
    spec = folders(tmp_path, {"a": 2})
    (tmp_path / "it" / "train" / "a" / "0001.png").write_bytes(b"not an image")
    images = open_dataset(spec, tmp_path).images("train")
    assert images.read(0).shape == (3, 4, 4)
    with pytest.raises(DataError, match=r"0001.png: cannot be read as an image"):
        images.read(1)


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no split 'val'\. Known: train, test"):
        open_dataset(folders(tmp_path, {"a": 1}), tmp_path).images("val")


def test_a_subset_keeps_images_and_labels_together(tmp_path: Path) -> None:
    counts = {"a": 30, "b": 30}
    folders(tmp_path, counts)
    whole = open_dataset(_spec(counts), tmp_path)
    part = open_dataset(_spec(counts, subset={"train": 20}), tmp_path)
    assert len(part.images("train")) == 20
    assert part.labels("train").shape == (20, 1)
    colours = [part.images("train").read(k)[0, 0, 0].item() for k in range(20)]
    assert part.labels("train")[:, 0].tolist() == colours
    assert 4 <= sum(colours) <= 16  # from both classes
    assert list(part.images("train").paths) == sorted(part.images("train").paths)
    assert len(part.images("test")) == len(whole.images("test"))
    smaller = open_dataset(_spec(counts, subset={"train": 5}), tmp_path)
    assert set(smaller.images("train").paths) < set(part.images("train").paths)
    assert part.digest == whole.digest  # the same data; the subset is in the spec's hash
    assert part.spec.hashed() != whole.spec.hashed()


def test_a_subset_larger_than_the_data_is_refused(tmp_path: Path) -> None:
    folders(tmp_path, {"a": 3})
    spec = _spec({"a": 3}, splits={"train": None, "test": 1}, subset={"train": 4})
    with pytest.raises(DataError, match="4 of 3 images cannot be had"):
        open_dataset(spec, tmp_path).images("train")
    with pytest.raises(ConfigError):
        _spec({"a": 3}, subset={"train": 4})


def test_held_out_images_are_stratified_and_seeded(tmp_path: Path) -> None:
    counts = {"a": 40, "b": 20, "c": 4, "d": 2}
    data = open_dataset(folders(tmp_path, counts), tmp_path)
    mask = data.held_out(0)
    finest = data.labels("train")[:, 0]
    assert np.bincount(finest[mask]).tolist() == [4, 2, 1, 1]
    assert np.bincount(finest[~mask]).tolist() == [36, 18, 3, 1]
    np.testing.assert_array_equal(mask, data.held_out(0))
    assert (mask != data.held_out(1)).any()


def test_held_out_images_of_detection_are_a_random_tenth() -> None:
    changes = {"canvases_tiny": {"splits": {"train": 40, "test": 2}}}
    data = open_dataset(dataset_spec("canvases_tiny", changes), None)
    assert data.held_out(0).sum() == 4
    assert (data.held_out(0) != data.held_out(1)).any()


def test_the_digest_sees_names_sizes_and_contents(tmp_path: Path) -> None:
    spec = folders(tmp_path, {"a": 2, "b": 2})
    first = open_dataset(spec, tmp_path).digest
    assert first == open_dataset(spec, tmp_path).digest
    file = tmp_path / "it" / "train" / "a" / "0001.png"
    content = file.read_bytes()
    changed = bytearray(content)
    changed[-20] ^= 1  # same size
    file.write_bytes(changed)
    assert open_dataset(spec, tmp_path).digest != first
    file.write_bytes(content)
    assert open_dataset(spec, tmp_path).digest == first
    file.rename(file.with_name("0007.png"))
    assert open_dataset(spec, tmp_path).digest != first


def test_the_digest_of_large_data_is_over_names_and_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sslbench.data.datasets._READ_ALL", 1)
    spec = folders(tmp_path, {"a": 2})
    first = open_dataset(spec, tmp_path).digest
    file = tmp_path / "it" / "train" / "a" / "0001.png"
    content = file.read_bytes()
    file.write_bytes(bytes(len(content)))
    assert open_dataset(spec, tmp_path).digest == first
    file.write_bytes(content + b"!")
    assert open_dataset(spec, tmp_path).digest != first


def test_where_people_get_it_is_no_part_of_a_data_sets_identity() -> None:
    spec = dataset_spec("cifar10")
    assert spec.model_copy(update={"home": "elsewhere"}).hashed() == spec.hashed()


def test_labels_out_of_range_are_refused(tmp_path: Path) -> None:
    spec = folders(tmp_path, {"a": 1, "b": 1})
    source = open_dataset(spec, tmp_path)._source
    fewer = spec.model_copy(update={"levels": _spec({"a": 1}).levels})
    with pytest.raises(DataError, match="class labels run from 0 to 1, expected 0 to 0"):
        LabelledDataset(fewer, tmp_path, source).labels("train")
