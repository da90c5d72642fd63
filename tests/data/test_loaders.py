from pathlib import Path
from typing import Literal

import pytest
import torch
from PIL import Image
from torch import Tensor

from sslbench.data import workers
from sslbench.data.geometry import centre_view
from sslbench.data.images import FileImages, HeldImages, ImageSet
from sslbench.data.loaders import ViewLoader, embed_batches
from sslbench.data.recipe import ViewConfig, recipe
from sslbench.errors import DataError

CPU = torch.device("cpu")
LAYOUT = (ViewConfig(), ViewConfig(), ViewConfig(size=0.5, crop=(0.1, 0.3)))
Batches = list[tuple[tuple[Tensor, ...], Tensor]]


@pytest.fixture(scope="module")
def images() -> HeldImages:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(27, 3, 8, 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=32, mode="bilinear")
    return HeldImages((smooth * 255).to(torch.uint8))


@pytest.fixture(scope="module")
def files(images: HeldImages, tmp_path_factory: pytest.TempPathFactory) -> FileImages:
    folder = tmp_path_factory.mktemp("images")
    paths = [folder / f"{position:03}.png" for position in range(len(images))]
    for path, image in zip(paths, images.pixels, strict=True):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    return FileImages(paths)


def loader(
    images: ImageSet,
    path: Literal["batched", "workers"] = "batched",
    workers: int = 0,
    batch_size: int = 6,
    seed: int = 0,
) -> ViewLoader:
    return ViewLoader(
        images,
        recipe("moco_v2"),
        LAYOUT,
        32,
        batch_size,
        seed,
        device=CPU,
        workers=workers,
        path=path,
    )


def same(one: Batches, other: Batches, tolerance: float = 0.0) -> bool:
    return len(one) == len(other) and all(
        torch.equal(index, again)
        and all((a - b).abs().mean() <= tolerance for a, b in zip(views, made, strict=True))
        for (views, index), (made, again) in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("path", ["batched", "workers"])
def test_an_epoch_has_full_batches_of_every_view(
    images: HeldImages, path: Literal["batched", "workers"]
) -> None:
    made = loader(images, path)
    assert made.steps_per_epoch == 4
    batches = list(made.epoch(0))
    assert len(batches) == 4
    for views, index in batches:
        assert [view.shape for view in views] == [(6, 3, 32, 32)] * 2 + [(6, 3, 16, 16)]
        assert index.dtype == torch.int64
    assert len(torch.cat([index for _, index in batches]).unique()) == 24


def test_both_paths_give_the_same_views(images: HeldImages, files: FileImages) -> None:
    batched = list(loader(images, "batched").epoch(1))
    assert same(batched, list(loader(images, "workers").epoch(1)), 2 / 255)
    assert same(batched, list(loader(files, "workers").epoch(1)), 2 / 255)
    assert same(batched, list(loader(files, "batched").epoch(1)))


def test_the_number_of_workers_changes_nothing(files: FileImages) -> None:
    alone = list(loader(files, "workers", workers=0).epoch(2))
    assert same(alone, list(loader(files, "workers", workers=2).epoch(2)))


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("number", [0, 2])
def test_the_size_of_the_pieces_that_workers_make_changes_nothing(
    files: FileImages, monkeypatch: pytest.MonkeyPatch, count: int, number: int
) -> None:
    whole = list(loader(files, "workers").epoch(2, start_step=1))
    centres = list(embed_batches(files, 24, 10, CPU, 0))
    monkeypatch.setattr(workers, "_PIECE_BYTES", count * 3 * (2 * 32**2 + 16**2))
    assert same(whole, list(loader(files, "workers", workers=number).epoch(2, start_step=1)))
    monkeypatch.setattr(workers, "_PIECE_BYTES", count * 3 * 24**2)
    made = list(embed_batches(files, 24, 10, CPU, number))
    assert [len(batch) for batch in made] == [10, 10, 7]
    assert torch.equal(torch.cat(made), torch.cat(centres))


def test_pieces_are_small_and_all_workers_begin_with_the_first_batch() -> None:
    two_views = [224, 224]
    size = workers._piece_size(two_views, 4096, 8)
    assert 2**23 < size * 2 * 3 * 224**2 <= 2**24  # bytes
    assert workers._piece_size(two_views, 64, 8) == 8
    assert workers._piece_size(two_views, 65, 8) == 9
    assert workers._piece_size([32], 256, 0) == 256
    assert workers._piece_size([4096], 4, 1) == 1  # one image is larger than a piece should be


@pytest.mark.parametrize("path", ["batched", "workers"])
def test_a_resumed_epoch_gives_exactly_the_remaining_batches(
    images: HeldImages, path: Literal["batched", "workers"]
) -> None:
    whole = list(loader(images, path).epoch(3))
    assert same(list(loader(images, path).epoch(3, start_step=2)), whole[2:])
    assert list(loader(images, path).epoch(3, start_step=4)) == []


def test_epochs_and_seeds_differ_in_order_and_views(images: HeldImages) -> None:
    made = loader(images)
    first, second = list(made.epoch(0)), list(made.epoch(1))
    other = list(loader(images, seed=1).epoch(0))
    assert not torch.equal(first[0][1], second[0][1])
    assert not torch.equal(first[0][1], other[0][1])
    assert same(first, list(made.epoch(0)))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_named(files: FileImages, tmp_path: Path, workers: int) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(files.paths[0].read_bytes()[:80])
    images = FileImages([*files.paths, broken])
    message = r"^\S*broken\.png: cannot be read as an image"
    with pytest.raises(DataError, match=message):
        list(loader(images, "workers", workers=workers, batch_size=28).epoch(0))
    with pytest.raises(DataError, match=message):
        list(embed_batches(images, 32, 10, CPU, workers))
    with pytest.raises(DataError, match=message):
        loader(images, "batched")


@pytest.mark.parametrize("batch_size", [0, 28])
def test_a_batch_larger_than_the_data_set_is_refused(images: HeldImages, batch_size: int) -> None:
    with pytest.raises(DataError, match=rf"batch_size {batch_size} .* from 1 to 27"):
        loader(images, batch_size=batch_size)


@pytest.mark.parametrize("path", ["batched", "workers"])
def test_the_global_random_state_is_left_alone(
    files: FileImages, path: Literal["batched", "workers"]
) -> None:
    before = torch.get_rng_state()
    list(loader(files, path).epoch(0))
    list(embed_batches(files, 32, 10, CPU, 0))
    assert torch.equal(torch.get_rng_state(), before)


def test_an_iterator_may_be_left_early(files: FileImages) -> None:
    made = loader(files, "workers", workers=1)
    epoch = made.epoch(0)
    first = next(epoch)
    epoch.close()  # type: ignore[attr-defined]
    assert same([first], [next(made.epoch(0))])


@pytest.mark.parametrize("workers", [0, 2])
def test_centre_views_come_in_data_set_order(
    images: HeldImages, files: FileImages, workers: int
) -> None:
    expected = centre_view(images.pixels, 24)
    for source in (images, files):
        batches = embed_batches(source, 24, 10, CPU, workers)
        assert batches.total == 27
        made = list(batches)
        assert [len(batch) for batch in made] == [10, 10, 7]
        assert torch.equal(torch.cat(made), expected)
        assert torch.equal(torch.cat(list(batches)), expected)


def test_files_of_many_sizes_give_centre_views_of_one(tmp_path: Path) -> None:
    sizes = [(40, 60), (90, 30), (24, 24)]
    paths = [tmp_path / f"{position}.png" for position in range(3)]
    for path, size in zip(paths, sizes, strict=True):
        Image.effect_noise(size, 50).convert("RGB").save(path)
    (made,) = embed_batches(FileImages(paths), 24, 8, CPU, 0)
    assert made.shape == (3, 3, 24, 24)
