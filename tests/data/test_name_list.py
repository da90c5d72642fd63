"""Lists of images of class folders, as SimCLR's 1 % and 10 % of ImageNet."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sslbench.data.datasets import check_dataset, open_dataset
from sslbench.data.spec import DatasetSpec, dataset_spec
from sslbench.errors import DataError

LISTED = ("n01_3.JPEG", "n02_0.JPEG", "n01_0.JPEG")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two synsets with four training images and a test image each, and a list of three."""
    for synset in ("n01", "n02"):
        for part, count in (("train", 4), ("val", 1)):
            folder = tmp_path / "imagenet" / part / synset
            folder.mkdir(parents=True)
            for number in range(count):
                grey = 10 * number + int(synset[1:])
                Image.new("L", (4, 4), grey).save(folder / f"{synset}_{number}.JPEG")
    listed(tmp_path, LISTED)
    return tmp_path


def listed(root: Path, lines: tuple[str, ...], end: str = "\n") -> Path:
    path = root / "imagenet" / "semi_supervised" / "1percent.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text(end.join(lines) + end, encoding="utf-8")
    return path


def spec(name: str = "imagenet-1pct", **changes: Any) -> DatasetSpec:
    tree = dataset_spec(name).model_dump(mode="json", exclude={"name"})
    small = {"levels": [{"name": "synset", "classes": 2}], "splits": {"train": 3, "test": 2}}
    return dataset_spec("it", {"it": {**tree, **small, **changes}})


def test_a_split_has_the_listed_images_with_their_classes(root: Path) -> None:
    data = open_dataset(spec(), root)
    names = [path.name for path in data.images("train").paths]
    assert names == ["n01_0.JPEG", "n01_3.JPEG", "n02_0.JPEG"]  # sorted, as without a list
    assert data.labels("train")[:, 0].tolist() == [0, 0, 1]
    assert data.images("train").read(1)[0, 0, 0] == 31
    assert data.labels("test")[:, 0].tolist() == [0, 1]
    data.check_measurable()


def test_the_order_of_the_lines_and_their_ends_say_nothing(root: Path) -> None:
    before = open_dataset(spec(), root).digest
    listed(root, (*reversed(LISTED), ""), "\r\n")
    data = open_dataset(spec(), root)
    assert len(data.images("train")) == 3
    assert data.digest == before
    listed(root, ("n01_2.JPEG", *LISTED[1:]))
    assert open_dataset(spec(), root).digest != before


def test_upper_levels_follow_the_listed_images(root: Path) -> None:
    levels = [{"name": "synset", "classes": 2}, {"name": "kind", "classes": 2}]
    options = {**spec().options, "groups": {"kind": {"b": ["n02"], "a": ["n01"]}}}
    data = open_dataset(spec(levels=levels, options=options), root)
    assert data.labels("train").tolist() == [[0, 1], [0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((*LISTED, "n02_0.JPEG"), "listed twice in {list}: n02_0.JPEG"),
        (
            (*LISTED[1:], "n01_9.JPEG"),
            "listed in {list}, but in no folder of {train}: n01_9.JPEG",
        ),
        (LISTED[1:], "2 images in {list}, 3 expected"),
        ((*LISTED, "n01_1.JPEG"), "4 images in {list}, 3 expected"),
        (
            ("n01_0.JPEG", "n01_1.JPEG", "n01_2.JPEG"),
            "{list} lists no image of the classes: n02",
        ),
    ],
)
def test_a_list_that_does_not_fit_is_one_clear_error(
    root: Path, lines: tuple[str, ...], message: str
) -> None:
    path = listed(root, lines)
    train = root / "imagenet" / "train"
    fault = check_dataset(spec(), root)[0]
    assert fault.startswith(f"it, train: {message.format(list=path, train=train)}")
    with pytest.raises(DataError) as caught:
        open_dataset(spec(), root)
    assert fault in str(caught.value)


def test_a_name_in_two_folders_is_ambiguous(root: Path) -> None:
    train = root / "imagenet" / "train"
    (train / "n02" / "n01_0.JPEG").write_bytes((train / "n01" / "n01_0.JPEG").read_bytes())
    fault = check_dataset(spec(), root)[0]
    assert f"but in several folders of {train}: n01_0.JPEG" in fault


def test_a_missing_or_unreadable_list_says_where_it_belongs(root: Path) -> None:
    path = listed(root, LISTED)
    path.write_bytes(b"\xff\xfe\x00")
    (fault,) = check_dataset(spec(), root)
    assert f"{path}; expected there: a file name a line" in fault
    path.unlink()
    (fault,) = check_dataset(spec(), root)
    assert fault.startswith(f"it: no list {path}; expected there: a file name a line")
    assert "google-research/simclr" in fault


def test_a_list_for_no_split_is_a_mistake(root: Path) -> None:
    options = {"splits": {"test": "val"}, "only": {"trian": "semi_supervised/1percent.txt"}}
    fault = check_dataset(spec(options=options, splits={"train": 8, "test": 2}), root)[0]
    assert "options.only names 'trian', which is no split" in fault


def test_the_papers_lists_have_their_sizes() -> None:
    sizes = {dataset_spec(f"imagenet-{part}").images("train") for part in ("1pct", "10pct")}
    assert sizes == {1_281_167 // 100, 1_281_167 // 10}
