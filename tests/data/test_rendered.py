"""The embedded data: the same pictures anywhere, consistent labels, tight boxes."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from sslbench.data.datasets import check_dataset, open_dataset
from sslbench.data.draws import Draws
from sslbench.data.rendered import VERSION, cache, canvases, objects, scenes, textures
from sslbench.data.rendered.figures import FAMILIES, KINGDOMS, SPECIES
from sslbench.data.rendered.grid import bytes_of, developed, rgb
from sslbench.data.rendered.habitats import habitats
from sslbench.data.spec import DatasetSpec, dataset_spec
from sslbench.errors import ConfigError

KINDS = [objects, scenes, textures]
FIRST_MEANS = {
    "objects": [
        [120, 105, 75],
        [141, 175, 141],
        [169, 158, 199],
        [116, 108, 88],
        [84, 137, 137],
        [151, 141, 166],
    ],
    "scenes": [
        [76, 65, 49],
        [161, 155, 145],
        [134, 212, 192],
        [63, 90, 54],
        [93, 97, 68],
        [40, 35, 66],
    ],
    "textures": [
        [48, 145, 98],
        [149, 113, 96],
        [160, 149, 172],
        [116, 64, 105],
        [72, 108, 104],
        [125, 134, 160],
    ],
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLBENCH_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_depends_on_its_position_only(kind: ModuleType) -> None:
    labels = kind.labels(0, "train", 60)
    np.testing.assert_array_equal(labels[:20], kind.labels(0, "train", 20))
    together = kind.render(0, "train", np.arange(60), labels[:, 0], 32)
    picked = np.array([55, 3, 17])
    alone = kind.render(0, "train", picked, labels[picked, 0], 32)
    np.testing.assert_array_equal(bytes_of(alone), bytes_of(together)[picked])
    assert together.dtype == np.float32


@pytest.mark.parametrize("kind", KINDS)
def test_seed_and_split_give_other_pictures(kind: ModuleType) -> None:
    classes = np.zeros(4, dtype=np.int64)
    shown = [
        kind.render(seed, split, np.arange(4), classes, 32)
        for seed, split in [(0, "train"), (1, "train"), (0, "test")]
    ]
    assert np.abs(shown[0] - shown[1]).mean() > 0.02
    assert np.abs(shown[0] - shown[2]).mean() > 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_a_larger_picture_shows_the_same(kind: ModuleType) -> None:
    """Halved, a picture of 64 pixels is nearly that of 32: only noise and edges differ."""
    classes = kind.labels(0, "train", 24)[:, 0]
    small = kind.render(0, "train", np.arange(24), classes, 32)
    large = kind.render(0, "train", np.arange(24), classes, 64)
    halved = large.reshape(24, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    assert np.abs(halved - small).mean() < 0.06
    strangers = np.abs(halved[1:] - small[:-1]).mean()
    assert np.abs(halved - small).mean() < 0.4 * strangers


def test_the_hierarchy_is_a_tree() -> None:
    labels = objects.labels(0, "train", 720)
    species, family, kingdom = labels.T
    assert np.bincount(species).tolist() == [20] * 36
    for child, parent in ((species, family), (family, kingdom)):
        for number in np.unique(child):
            assert len(np.unique(parent[child == number])) == 1
    assert [len(np.unique(level)) for level in labels.T] == [36, 12, 4]
    names = list(KINGDOMS.values())
    for one, name in enumerate(SPECIES):
        shape, surface = name.split(" with ")
        assert FAMILIES[one // 3] == shape
        assert shape in names[one // 9].families
        assert surface in names[one // 9].species


def test_boxes_are_tight_around_the_masks() -> None:
    drawn = canvases.render(0, "train", np.arange(12), 96)
    assert len(drawn.xyxy) == len(drawn.classes) == len(drawn.image) == len(drawn.masks)
    for (left, top, right, bottom), mask in zip(drawn.xyxy.astype(int), drawn.masks, strict=True):
        down, across = np.nonzero(mask)
        assert (left, top) == (across.min(), down.min())
        assert (right, bottom) == (across.max() + 1, down.max() + 1)
        assert min(right - left, bottom - top) >= 6
    counts = np.bincount(drawn.image, minlength=12)
    assert counts.min() >= 3
    assert counts.max() <= 5


def test_a_canvas_differs_from_its_habitat_where_the_masks_are() -> None:
    drawn = canvases.render(0, "train", np.arange(6), 96)
    draws = Draws(0, "canvases/train", range(6))
    bare = developed(habitats(draws.integers("habitat", 4), draws, 96), draws)
    changed = np.abs(drawn.picture - bare).max(axis=-1) > 0.04
    covered = np.zeros((6, 96, 96), dtype=np.bool_)
    for image, mask in zip(drawn.image, drawn.masks, strict=True):
        covered[image] |= mask
    assert changed[covered].mean() > 0.9
    assert changed[~covered].mean() < 0.2  # shadows


def test_canvases_do_not_depend_on_their_number() -> None:
    many = canvases.render(0, "train", np.arange(9), 96)
    one = canvases.render(0, "train", np.array([4]), 96)
    np.testing.assert_array_equal(bytes_of(one.picture)[0], bytes_of(many.picture)[4])
    np.testing.assert_array_equal(one.xyxy, many.xyxy[many.image == 4])


def test_colours_are_those_of_the_colour_wheel() -> None:
    hues = np.array([0, 1 / 6, 1 / 3, 1 / 2, 2 / 3, -1 / 6], dtype=np.float32)
    full = np.ones(6, dtype=np.float32)
    wheel = [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1]]
    np.testing.assert_allclose(rgb(hues, full, full), wheel, atol=1e-5)


@pytest.mark.parametrize("name", ["objects_tiny", "scenes_tiny", "canvases_tiny"])
def test_the_tiny_sets_open_without_a_data_folder(name: str) -> None:
    data = open_dataset(dataset_spec(name), None)
    for split, count in data.spec.splits.items():
        size = data.spec.image_size
        assert tuple(data.images(split).pixels.shape) == (count, 3, size, size)
        assert len(data.labels(split)) == count
    for level, spec in enumerate(data.spec.levels):
        assert len(data.class_names(level)) == spec.classes
    if data.spec.task == "detection":
        boxes = data.boxes("train")
        assert len(boxes) == data.spec.splits["train"]
        for found, row in zip(boxes, data.labels("train"), strict=True):
            assert sorted(set(found.classes)) == np.flatnonzero(row == 1).tolist()
            assert not found.ignore.any()


def test_the_tiny_set_is_the_beginning_of_the_full_one() -> None:
    tiny = open_dataset(_objects(train=40, test=36), None)
    full = open_dataset(_objects(train=300, test=36), None)
    assert (tiny.images("train").pixels == full.images("train").pixels[:40]).all()
    assert tiny.digest != full.digest


def test_a_second_opening_reads_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_dataset(_objects(train=36, test=36), None)
    pixels = first.images("train").pixels

    def refuse(*arguments: object) -> None:
        raise AssertionError("rendered again")

    monkeypatch.setattr(objects, "render", refuse)
    again = open_dataset(_objects(train=36, test=36), None)
    assert (again.images("train").pixels == pixels).all()
    assert again.digest == first.digest


def test_another_seed_or_version_is_another_file_and_digest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = open_dataset(_objects(train=36, test=36), None)
    seeded = open_dataset(_objects(train=36, test=36, seed=1), None)
    assert not (plain.images("test").pixels == seeded.images("test").pixels).all()
    assert plain.digest != seeded.digest
    assert len(_kept()) == 2
    monkeypatch.setattr("sslbench.data.readers.embedded.VERSION", VERSION + 1)
    open_dataset(_objects(train=36, test=36), None).images("test")
    assert len(_kept()) == 3


def test_a_damaged_cache_is_rendered_again(caplog: pytest.LogCaptureFixture) -> None:
    pixels = open_dataset(_objects(train=36, test=36), None).images("train").pixels
    (file,) = _kept()
    file.write_bytes(file.read_bytes()[:2000])
    again = open_dataset(_objects(train=36, test=36), None).images("train").pixels
    assert (again == pixels).all()
    assert "damaged" in caplog.text
    assert file.stat().st_size > 36 * 3 * 32 * 32


def test_a_cache_that_cannot_be_written_costs_only_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("SSLBENCH_CACHE", str(blocked))
    assert len(open_dataset(_objects(train=36, test=36), None).images("train")) == 36
    assert "SSLBENCH_CACHE" in caplog.text


def test_levels_that_are_not_drawn_are_a_fault() -> None:
    spec = _objects(train=36, test=36).model_copy(update={"levels": dataset_spec("scenes").levels})
    assert check_dataset(spec, None) == [
        "objects: levels of [12] classes, but [36, 12, 4] are drawn"
    ]


def test_an_unknown_option_is_refused() -> None:
    spec = _objects(train=36, test=36).model_copy(
        update={"options": {"kind": "objects", "sead": 1}}
    )
    with pytest.raises(ConfigError, match="Did you mean 'seed'"):
        open_dataset(spec, None)


def test_an_empty_cache_variable_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLBENCH_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    open_dataset(_objects(train=36, test=36), None).images("train")
    assert list(tmp_path.iterdir()) == []


def _kept() -> list[Path]:
    folder = cache.cache_folder()
    assert folder is not None
    return list((folder / "rendered").iterdir())


def _objects(train: int, test: int, seed: int = 0) -> DatasetSpec:
    changes = {"objects": {"splits": {"train": train, "test": test}, "options": {"seed": seed}}}
    return dataset_spec("objects", changes)


@pytest.mark.parametrize(
    ("kind", "expected"), [(objects, "objects"), (scenes, "scenes"), (textures, "textures")]
)
def test_pictures_change_only_with_the_version(kind: ModuleType, expected: str) -> None:
    """Mean colours in 1/255 to one place: if this fails, raise VERSION and write the new ones."""
    labels = kind.labels(0, "train", 6)
    picture = kind.render(0, "train", np.arange(6), labels[:, 0], 32)
    means = (picture.mean(axis=(1, 2)) * 255).round().astype(int)
    assert VERSION == 1
    np.testing.assert_allclose(means, FIRST_MEANS[expected], atol=1)


def test_every_canvas_of_a_set_of_several_chunks_has_its_own_boxes() -> None:
    spec = dataset_spec("canvases", {"canvases": {"splits": {"train": 600, "test": 4}}})
    boxes = open_dataset(spec, None).boxes("train")
    assert len(boxes) == 600
    assert {len(found.classes) for found in boxes} == {3, 4, 5}
    alone = canvases.render(0, "train", np.array([599]), 96)
    np.testing.assert_array_equal(boxes[599].xyxy, alone.xyxy)
