"""Crops, rotations and centre views against torchvision's."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from sslbench.data.geometry import (
    centre_crop,
    centre_view,
    crop_boxes,
    resized_crops,
    rotated,
)
from sslbench.data.random import COLUMNS, Column, uniforms
from sslbench.data.recipe import (
    Look,
)

LIMIT = 2 / 255  # mean difference allowed at most
EXACT = 1e-5  # what float arithmetic reaches

Pictures = Callable[[int, int, int], Tensor]


def table_for(images: Tensor) -> Tensor:
    return uniforms(0, 0, torch.arange(len(images)), 0, COLUMNS)


def unit(images: Tensor) -> Tensor:
    return images.float() / 255


def differences(ours: Tensor, theirs: list[Tensor]) -> Tensor:
    """Mean absolute difference per image."""
    return (ours - torch.stack(theirs)).abs().flatten(1).mean(1)


@pytest.mark.parametrize("size", [32, 14, 40])
@pytest.mark.parametrize("area", [(0.2, 1.0), (0.01, 0.1), (1.0, 1.0)])
def test_crops_are_torchvisions(images: Tensor, size: int, area: tuple[float, float]) -> None:
    look, table = Look(crop=area), table_for(images)
    boxes = crop_boxes(look, table, 32, 32)
    expected = []
    for row, image in enumerate(unit(images)):
        box = [int(side[row]) for side in (boxes.top, boxes.left, boxes.height, boxes.width)]
        crop = tv.resized_crop(image, *box, [size, size], antialias=True)
        flipped = table[row, Column.FLIP] < 0.5
        expected.append(tv.horizontal_flip(crop) if flipped else crop)
    ours = resized_crops(images, look, size, table)
    assert differences(ours, expected).max() < EXACT
    assert torch.allclose(resized_crops(unit(images), look, size, table), ours, atol=EXACT)


def test_crops_of_larger_and_oblong_images_are_torchvisions(pictures: Pictures) -> None:
    images = pictures(12, 90, 150)
    look, table = Look(crop=(0.05, 1.0), flip=0.0), table_for(images)
    boxes = crop_boxes(look, table, 90, 150)
    expected = []
    for row, image in enumerate(unit(images)):
        box = [int(side[row]) for side in (boxes.top, boxes.left, boxes.height, boxes.width)]
        expected.append(tv.resized_crop(image, *box, [32, 32], antialias=True))
    assert differences(resized_crops(images, look, 32, table), expected).max() < EXACT


@pytest.mark.parametrize("shape", [(32, 32), (60, 100)])
def test_boxes_are_distributed_as_torchvisions(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    look, count = Look(crop=(0.2, 1.0)), 8000
    boxes = crop_boxes(look, uniforms(0, 0, torch.arange(count), 0, COLUMNS), *shape)
    ours = torch.stack([boxes.top, boxes.left, boxes.height, boxes.width], 1)
    source = torch.empty(3, *shape)
    drawn = [
        v2.RandomResizedCrop(8, scale=look.crop, ratio=look.ratio).make_params([source])
        for _ in range(count)
    ]
    theirs = torch.tensor([[p["top"], p["left"], p["height"], p["width"]] for p in drawn])
    for one, other in zip(ours.T, theirs.float().T, strict=True):
        values = torch.cat([one, other]).unique()
        gap = (one[:, None] <= values).float().mean(0) - (other[:, None] <= values).float().mean(0)
        assert gap.abs().max() < 1.95 * (2 / count) ** 0.5  # Kolmogorov and Smirnov, 0.1 %


@pytest.mark.parametrize("shape", [(10, 200), (200, 10)])
def test_an_image_that_no_box_fits_gives_torchvisions_fallback(shape: tuple[int, int]) -> None:
    boxes = crop_boxes(Look(crop=(1.0, 1.0)), table_for(torch.empty(4, 1)), *shape)
    box = v2.RandomResizedCrop(8, scale=(1.0, 1.0)).make_params([torch.empty(3, *shape)])
    for name in ("top", "left", "height", "width"):
        assert getattr(boxes, name).tolist() == [box[name]] * 4


def test_crops_show_nothing_outside_their_box() -> None:
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    look, table = Look(crop=(0.1, 0.3), flip=0.0), table_for(images)
    boxes = crop_boxes(look, table, 32, 32)
    top, left, height, width = (
        int(side) for side in (boxes.top, boxes.left, boxes.height, boxes.width)
    )
    images[:, :, top : top + height, left : left + width] = 255
    assert torch.allclose(resized_crops(images, look, 32, table), torch.ones(1, 3, 32, 32))


def test_rotations_are_torchvisions(images: Tensor) -> None:
    degrees = torch.linspace(-180, 180, len(images))
    expected = [
        tv.rotate(image, float(angle), interpolation=InterpolationMode.BILINEAR)
        for image, angle in zip(unit(images), degrees, strict=True)
    ]
    assert differences(rotated(unit(images), degrees), expected).max() < LIMIT / 20


def test_oblong_images_rotate_as_torchvisions(pictures: Pictures) -> None:
    images = unit(pictures(4, 20, 30))
    expected = [tv.rotate(i, 25.0, interpolation=InterpolationMode.BILINEAR) for i in images]
    assert differences(rotated(images, torch.full((4,), 25.0)), expected).max() < LIMIT / 20


def test_the_centre_view_of_an_image_of_the_right_size_is_the_image(pictures: Pictures) -> None:
    images = pictures(4, 32, 32)
    assert torch.equal(centre_view(images, 32), unit(images))


@pytest.mark.parametrize("shape", [(100, 140), (300, 240), (20, 24)])
@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
def test_the_centre_view_is_resize_and_centre_crop(
    pictures: Pictures, shape: tuple[int, int], filter: str
) -> None:
    images = pictures(3, *shape)
    mode = InterpolationMode(filter)
    expected = v2.Compose([v2.Resize(37, mode, antialias=True), v2.CenterCrop(32)])(images)
    ours = centre_view(images, 32, filter)  # type: ignore[arg-type]
    assert torch.equal(ours, unit(expected))
    assert torch.equal(centre_view(images[1], 32, filter), ours[1])  # type: ignore[arg-type]


def test_the_crop_fraction_says_how_much_is_cut_away(pictures: Pictures) -> None:
    images = pictures(1, 90, 90)
    whole = centre_crop(images, 30, crop_fraction=1.0)
    assert torch.equal(whole, tv.resize(images, [30, 30], antialias=True))
