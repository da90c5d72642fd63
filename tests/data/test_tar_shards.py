"""Tar files as WebDataset writes them, made by the tests and read back."""

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sslbench.data.checks import shared_faults
from sslbench.data.datasets import check_dataset, chosen_images, open_dataset
from sslbench.data.images import FileImages, decode
from sslbench.data.loaders import ViewLoader
from sslbench.data.readers.tar_index import expanded, index_of
from sslbench.data.recipe import ViewConfig, recipe
from sslbench.data.spec import DatasetSpec, dataset_spec
from sslbench.errors import ConfigError, DataError

Members = list[tuple[str, bytes]]
LONG = "folder/" + "x" * 140  # longer than a plain header holds


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLBENCH_CACHE", str(tmp_path / "cache"))


def jpeg(number: int) -> bytes:
    made = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((40 + number, 30)).save(made, "JPEG", quality=95)
    return made.getvalue()


def write(path: Path, members: Members) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def sample(number: int, label: int, key: str | None = None) -> Members:
    key = f"{number:06d}" if key is None else key
    return [(f"{key}.jpg", jpeg(number)), (f"{key}.cls", str(label).encode())]


def spec(**changes: Any) -> DatasetSpec:
    tree = {
        "levels": [{"name": "class", "classes": 3}],
        "splits": {"train": 5, "test": 2},
        "source": "tar_shards",
        "folder": "it",
        "options": {"shards": {"train": "train-{00..01}.tar", "test": "test-*.tar"}},
        **changes,
    }
    return dataset_spec("it", {"it": tree})


def written(root: Path) -> DatasetSpec:
    """Labels 0, 2, 1 in the first shard, 1, 0 in the second; one key is long, some files extra."""
    folder = root / "it"
    more = [("000001.meta.json", b"{}"), ("000002.txt", b"a caption")]
    write(
        folder / "train-00.tar", [*sample(0, 0), *sample(1, 2), *more[:1], *sample(2, 1), more[1]]
    )
    write(folder / "train-01.tar", [*sample(3, 1, LONG), *sample(4, 0, "../../etc/out")])
    write(folder / "test-00.tar", [*sample(5, 2), *sample(6, 1)])
    return spec()


def test_samples_come_in_the_order_of_the_shards(tmp_path: Path) -> None:
    data = open_dataset(written(tmp_path), tmp_path)
    assert data.labels("train").tolist() == [[0], [2], [1], [1], [0]]
    assert data.labels("test").tolist() == [[2], [1]]
    assert data.class_names() == ["0", "1", "2"]
    for position in (4, 0, 3, 1, 2):
        (tmp_path / "one.jpg").write_bytes(jpeg(position))
        image = data.images("train").read(position)
        assert image.shape == (3, 30, 40 + position)
        assert torch.equal(image, decode(tmp_path / "one.jpg"))
    assert shared_faults(data.spec, data.images("train"), data.images("test")) == []


def test_views_are_those_of_loose_files_whatever_the_workers(tmp_path: Path) -> None:
    images = open_dataset(written(tmp_path), tmp_path).images("train")
    paths = [tmp_path / f"{number}.jpg" for number in range(5)]
    for number, path in enumerate(paths):
        path.write_bytes(jpeg(number))
    made = []
    for source, workers in ((FileImages(paths), 0), (images, 0), (images, 2)):
        loader = ViewLoader(
            source,
            recipe("moco_v2"),
            (ViewConfig(), ViewConfig()),
            24,
            2,
            0,
            device=torch.device("cpu"),
            workers=workers,
            path="workers",
        )
        made.append([view for views, index in loader.epoch(1) for view in (*views, index)])
    for other in made[1:]:
        assert len(other) == 6
        assert all(torch.equal(a, b) for a, b in zip(made[0], other, strict=True))


def test_parts_of_a_split_keep_their_images(tmp_path: Path) -> None:
    images = open_dataset(written(tmp_path), tmp_path).images("train")
    chosen = chosen_images(images, np.array([4, 1]))
    assert len(chosen) == 2
    assert torch.equal(chosen.read(0), images.read(4))
    assert torch.equal(chosen.read(1), images.read(1))
    few = open_dataset(spec(subset={"train": 3}), tmp_path)
    assert len(few.images("train")) == len(few.labels("train")) == 3


def test_names_and_groups_give_classes_and_upper_levels(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "it" / "classes.txt").write_text("ant\nbee\ncod\n")
    groups = {"kind": {"fish": ["cod"], "insects": ["ant", "bee"]}}
    made = spec(
        levels=[{"name": "class", "classes": 3}, {"name": "kind", "classes": 2}],
        options={**spec().options, "names": "classes.txt", "groups": groups},
    )
    data = open_dataset(made, tmp_path)
    assert data.labels("test").tolist() == [[2, 0], [1, 1]]
    assert data.class_names(1) == ["fish", "insects"]


def test_shards_without_labels_are_a_split_without_labels(tmp_path: Path) -> None:
    written(tmp_path)
    write(tmp_path / "it" / "more.tar", [("a.jpg", jpeg(0)), ("b.jpg", jpeg(1))])
    options = {"shards": {**spec().options["shards"], "more": "more.tar"}}
    made = spec(splits={"train": 5, "test": 2, "more": 2}, options=options)
    data = open_dataset(made, tmp_path)
    assert len(data.images("more")) == 2
    with pytest.raises(DataError, match="'more' has no labels"):
        data.labels("more")
    write(tmp_path / "it" / "more.tar", [("a.jpg", jpeg(0)), *sample(1, 1)])
    (fault,) = check_dataset(made, tmp_path)[:1]
    assert "more.tar: 1 of 2 images have no label .cls" in fault


def test_the_digest_and_the_kept_index_see_that_a_shard_changed(tmp_path: Path) -> None:
    made = written(tmp_path)
    before = open_dataset(made, tmp_path).digest
    assert len(list((tmp_path / "cache" / "shards").glob("*.npz"))) == 2
    assert open_dataset(made, tmp_path).digest == before
    assert len(list((tmp_path / "cache" / "shards").glob("*.npz"))) == 2
    write(tmp_path / "it" / "test-00.tar", [*sample(6, 1), *sample(5, 0)])
    again = open_dataset(made, tmp_path)
    assert again.labels("test").tolist() == [[1], [0]]
    assert again.digest != before


def test_missing_shards_and_wrong_labels_are_described(tmp_path: Path) -> None:
    made = written(tmp_path)
    (tmp_path / "it" / "train-01.tar").unlink()
    (tmp_path / "it" / "test-00.tar").unlink()
    first, second = check_dataset(made, tmp_path)
    assert "it, train: 1 of 2 shards are not in" in first
    assert "train-01.tar" in first
    assert "it, test: no shard test-*.tar in" in second
    written(tmp_path)
    write(tmp_path / "it" / "test-00.tar", sample(5, 7))
    first, second = check_dataset(made, tmp_path)
    assert "it, test: 1 images in" in first
    assert "labels in test-*.tar run from 7 to 7, expected 0 to 2" in second
    with pytest.raises(ConfigError, match="none for test"):
        check_dataset(spec(options={"shards": {"train": "a.tar"}}), tmp_path)
    (tmp_path / "it" / "classes.txt").write_text("ant\nbee\n")
    options = {**spec().options, "names": "classes.txt"}
    assert "2 class names, 3 expected" in check_dataset(spec(options=options), tmp_path)[0]


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ([("a.cls", b"1")], "'a' has 0 images"),
        ([("a.jpg", b""), ("a.png", b"")], "'a' has 2 images"),
        ([("a.jpg", b""), ("a.cls", b"cat")], "a.cls holds b'cat'; expected: a class in digits"),
        ([("a.jpg", b""), ("b.jpg", b""), ("a.cls", b"1")], "of the sample 'a' are not together"),
    ],
)
def test_incomplete_samples_are_named(tmp_path: Path, members: Members, fault: str) -> None:
    path = tmp_path / "a.tar"
    write(path, members)
    with pytest.raises(DataError) as caught:
        index_of([path], "cls")
    assert str(caught.value).startswith(f"{path}: ")
    assert fault in str(caught.value)


def test_a_tar_that_is_cut_short_or_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    write(path, [*sample(0, 0), *sample(1, 1)])
    whole = path.read_bytes()
    second = whole.index(b"000001.jpg")
    garbled = whole[:second] + b"\xff" * 512 + whole[second + 512 :]
    # In an image, right before a sample, in a header, and with a header that is none.
    for content in (whole[: second - 700], whole[:second], whole[: second + 100], garbled, b"no"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.tar: c(ut short or damaged|annot be read)"):
            index_of([path], "cls")
    with tarfile.open(path, "w:gz"):
        pass
    with pytest.raises(DataError, match="not compressed"):
        index_of([path], "cls")


def test_an_image_that_cannot_be_decoded_is_named_with_its_shard(tmp_path: Path) -> None:
    written(tmp_path)
    broken = [("0.jpg", jpeg(0)[:300]), ("0.cls", b"0")]
    write(tmp_path / "it" / "test-00.tar", [*broken, *sample(1, 1)])
    images = open_dataset(spec(), tmp_path).images("test")
    with pytest.raises(DataError, match=r"test-00\.tar: 0\.jpg: cannot be read as an image"):
        images.read(0)


def test_a_shard_of_both_splits_is_no_test_set(tmp_path: Path) -> None:
    written(tmp_path)
    shards = {"train": "train-{00..01}.tar", "test": "train-00.tar"}
    made = spec(splits={"train": 5, "test": 3}, options={"shards": shards})
    with pytest.raises(DataError, match=r"shards both of train and of test: train-00\.tar"):
        open_dataset(made, tmp_path).check_measurable()


def test_patterns_name_every_shard(tmp_path: Path) -> None:
    names = [path.name for path in expanded(tmp_path, "{0..1}-a{08..11}.tar")]
    assert names == [f"{a}-a{b}.tar" for a in "01" for b in ("08", "09", "10", "11")]
    assert expanded(tmp_path, "plain.tar") == (tmp_path / "plain.tar",)
