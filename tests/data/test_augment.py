"""Whole views: what they depend on, their number, their sizes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from sslbench.data.augment import finished, geometry, planned, rendered, views
from sslbench.data.random import COLUMNS, Column, uniforms
from sslbench.data.recipe import (
    Blur,
    Jitter,
    Look,
    Noise,
    Recipe,
    Rotate,
    Solarize,
    ViewConfig,
    recipe,
    recipes,
)
from sslbench.errors import ConfigError

PLAIN = Look(crop=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0)
FULL = (ViewConfig(), ViewConfig())
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


@pytest.mark.parametrize("name", ["jitter", "grayscale", "blur", "noise", "solarize", "flip"])
def test_a_transform_touches_the_stated_share_of_images(name: str) -> None:
    strong = {
        "jitter": Jitter(p=0.3, brightness=0.5),
        "grayscale": 0.3,
        "blur": Blur(p=0.3, sigma=(0.05, 0.1)),
        "noise": Noise(p=0.3, std=0.1),
        "solarize": Solarize(p=0.3),
        "flip": 0.3,
    }
    images = torch.randint(0, 256, (2000, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    setting = PLAIN.model_copy(update={name: strong[name]})
    made = views(
        images.to(torch.uint8),
        Recipe.model_validate(setting.model_dump()),
        (ViewConfig(),),
        8,
        0,
        0,
        torch.arange(2000),
    )[0]
    touched = ((made - unit(images)).abs() > 1e-4).flatten(1).any(1)
    assert abs(touched.float().mean().item() - 0.3) < 0.05  # 5 standard deviations


@pytest.mark.parametrize("name", sorted(recipes()))
def test_recipes_give_views_in_the_unit_interval_and_cite_their_source(
    pictures: Pictures, name: str
) -> None:
    assert recipes()[name]["about"]
    images = pictures(32, 32, 32)
    made = views(images, recipe(name), FULL, 32, 0, 0, torch.arange(32))
    assert [view.shape for view in made] == [(32, 3, 32, 32)] * 2
    for view in made:
        assert view.dtype == torch.float32
        assert view.min() >= 0
        assert view.max() <= 1 + 1e-6
    assert not torch.allclose(made[0], made[1], atol=0.1)


def test_a_view_depends_on_its_seed_epoch_position_and_number_only(pictures: Pictures) -> None:
    images = pictures(100, 32, 32)
    moco = recipe("moco_v2")
    made = views(images, moco, FULL, 32, 0, 3, torch.arange(100))
    some = torch.tensor([70, 3, 42])
    alone = views(images[some], moco, FULL, 32, 0, 3, some)
    longer = views(images[some], moco, (*FULL, ViewConfig(size=0.5)), 32, 0, 3, some)
    for k in range(2):
        assert torch.allclose(alone[k], made[k][some], atol=EXACT)
        assert torch.equal(longer[k], alone[k])
    assert not torch.allclose(views(images, moco, FULL, 32, 0, 4, torch.arange(100))[0], made[0])
    assert not torch.allclose(views(images, moco, FULL, 32, 1, 3, torch.arange(100))[0], made[0])


def test_global_random_state_is_neither_read_nor_changed(pictures: Pictures) -> None:
    images = pictures(8, 32, 32)
    before = torch.get_rng_state()
    first = views(images, recipe("noise"), FULL, 32, 0, 0, torch.arange(8))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    again = views(images, recipe("noise"), FULL, 32, 0, 0, torch.arange(8))
    assert torch.equal(first[0], again[0])


def test_recipes_that_share_a_transform_draw_the_same_for_it(pictures: Pictures) -> None:
    images = pictures(32, 32, 32)
    with_blur, without = recipe("moco_v2"), recipe("moco_v2").model_copy(update={"blur": Blur()})
    one = views(images, with_blur, FULL, 32, 0, 0, torch.arange(32))[0]
    other = views(images, without, FULL, 32, 0, 0, torch.arange(32))[0]
    unblurred = table_for(images)[:, Column.BLUR] >= 0.5
    assert unblurred.any()
    assert torch.allclose(one[unblurred], other[unblurred], atol=EXACT)
    assert not torch.allclose(one[~unblurred], other[~unblurred], atol=EXACT)


def test_input_images_are_left_alone(pictures: Pictures) -> None:
    images = unit(pictures(8, 32, 32))
    before = images.clone()
    views(images, recipe("byol"), FULL, 32, 0, 0, torch.arange(8))
    assert torch.equal(images, before)


def test_full_size_views_come_first_and_follow_their_own_changes(pictures: Pictures) -> None:
    layout = (ViewConfig(size=0.5, repeat=3, crop=(0.05, 0.14)), ViewConfig(), ViewConfig())
    plan = planned(recipe("byol"), layout, 32)
    assert [view.side for view in plan] == [32, 32, 16, 16, 16]
    assert [view.number for view in plan] == list(range(5))
    assert [view.look.blur.p for view in plan] == [1.0, 0.1, 1.0, 1.0, 1.0]
    assert [view.look.solarize.p for view in plan] == [0.0, 0.2, 0.0, 0.0, 0.0]
    assert plan[0].look.blur.sigma == recipe("byol").blur.sigma
    assert [view.look.crop for view in plan] == [(0.08, 1.0)] * 2 + [(0.05, 0.14)] * 3
    made = views(pictures(4, 32, 32), recipe("byol"), layout, 32, 0, 0, torch.arange(4))
    assert [view.shape[-1] for view in made] == [32, 32, 16, 16, 16]
    assert not torch.allclose(made[2], made[3], atol=0.1)


def test_blur_counts_in_shares_of_the_runs_image_size(pictures: Pictures) -> None:
    look = Look(crop=(1.0, 1.0), flip=0.0, blur=Blur(p=1.0, sigma=(1 / 32, 1 / 32)))
    blurry = Recipe.model_validate(look.model_dump())
    images = pictures(4, 16, 16)
    local = views(images, blurry, (ViewConfig(size=0.5),), 32, 0, 0, torch.arange(4))[0]
    expected = [tv.gaussian_blur(image, [7, 7], [1.0, 1.0]) for image in unit(images)]
    assert differences(local, expected).max() < EXACT


def test_jigsaw_patches_are_windows_of_all_cells_in_random_order(pictures: Pictures) -> None:
    images = pictures(40, 36, 36)
    layout = (ViewConfig(patches="jigsaw", grid=3),)
    made = views(images, Recipe.model_validate(PLAIN.model_dump()), layout, 32, 0, 0,
                 torch.arange(40))[0]  # fmt: skip
    assert made.shape == (40, 9, 3, 9, 9)  # cells of 12, windows of 9
    orders = []
    for image, patches in zip(unit(images[3:]), made[3:], strict=True):
        windows = image.unfold(1, 9, 1).unfold(2, 9, 1).permute(1, 2, 0, 3, 4)  # 28 x 28 places
        order = []
        for patch in patches:
            same = (windows - patch).abs().flatten(2).amax(2) < EXACT
            top, left = same.nonzero()[0].tolist()
            assert top % 12 <= 3
            assert left % 12 <= 3
            order.append(top // 12 * 3 + left // 12)
        assert sorted(order) == list(range(9))
        orders.append(tuple(order))
    assert len(set(orders)) == len(orders)


def test_jigsaw_has_pirls_sizes_at_224_pixels_and_colours_every_patch() -> None:
    layout = (ViewConfig(patches="jigsaw", grid=3),)
    view = planned(recipe("moco_v2"), layout, 224)[0]
    assert (view.side, view.patch) == (255, 64)
    flat = torch.full((6, 3, 36, 36), 128, dtype=torch.uint8)
    bright = PLAIN.model_copy(update={"jitter": Jitter(p=1.0, brightness=0.5)})
    made = views(flat, Recipe.model_validate(bright.model_dump()), layout, 32, 0, 0,
                 torch.arange(6))[0]  # fmt: skip
    values = made.flatten(2).mean(2)  # N x P
    assert all(len(row.unique()) == 9 for row in values)


def test_grid_patches_overlap_by_half(pictures: Pictures) -> None:
    layout = (ViewConfig(patches="grid", grid=7),)
    plan = planned(recipe("moco_v2"), layout, 64)[0]
    images = pictures(5, 64, 64)
    made = views(images, recipe("moco_v2"), layout, 64, 0, 0, torch.arange(5))[0]
    assert made.shape == (5, 49, 3, 16, 16)
    whole = views(images, recipe("moco_v2"), (ViewConfig(),), 64, 0, 0, torch.arange(5))[0]
    assert (plan.side, plan.patch) == (64, 16)
    for row in range(7):
        for column in range(7):
            window = whole[:, :, 8 * row : 8 * row + 16, 8 * column : 8 * column + 16]
            assert torch.allclose(made[:, 7 * row + column], window, atol=EXACT)


def test_a_view_without_pixels_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"view 2: size 1\.0 with grid 7 leaves 0 pixels of 4"):
        planned(recipe("crop"), (ViewConfig(), ViewConfig(patches="grid", grid=7)), 4)
    with pytest.raises(ConfigError, match="crop"):
        planned(recipe("crop"), (ViewConfig(crop=(0.9, 0.1)),), 32)


@pytest.mark.parametrize("name", ["moco_v2", "byol", "rotate"])
@pytest.mark.parametrize("shape", [(32, 32), (75, 110)])
def test_both_ways_give_the_same_views(
    pictures: Pictures, name: str, shape: tuple[int, int]
) -> None:
    images = pictures(24, *shape)
    layout = (*FULL, ViewConfig(size=0.5), ViewConfig(patches="jigsaw", grid=2))
    for view in planned(recipe(name), layout, 32):
        table = view.table(0, 0, torch.arange(24))
        crops = [
            geometry(image, view.look, view.side, row)
            for image, row in zip(images, table, strict=True)
        ]
        assert crops[0].dtype == torch.uint8
        staged = finished(unit(torch.stack(crops)), view, table)
        # Solarize jumps at its threshold, so an image may differ; the batch may not.
        assert (staged - rendered(images, view, table)).abs().mean() < LIMIT


def test_rotation_turns_the_stated_share_by_up_to_the_stated_angle(pictures: Pictures) -> None:
    turned = Recipe.model_validate(
        PLAIN.model_copy(update={"rotate": Rotate(p=0.5, degrees=20.0)}).model_dump()
    )
    images = pictures(40, 32, 32)
    made = views(images, turned, (ViewConfig(),), 32, 0, 0, torch.arange(40))[0]
    table = table_for(images)
    expected = [
        tv.rotate(image, float(40 * u - 20), interpolation=InterpolationMode.BILINEAR)
        if drawn < 0.5
        else image
        for image, u, drawn in zip(
            unit(images), table[:, Column.ROTATE_ANGLE], table[:, Column.ROTATE], strict=True
        )
    ]
    assert differences(made, expected).max() < LIMIT / 20


def test_views_made_together_are_those_made_one_by_one() -> None:
    images = torch.randint(0, 256, (9, 3, 32, 32), dtype=torch.uint8)
    layout = (ViewConfig(), ViewConfig(), ViewConfig(size=0.5, crop=(0.1, 0.3), repeat=3))
    for name in ("moco_v2", "byol"):  # byol's two full views differ
        plan = planned(recipe(name), layout, 32)
        index = torch.arange(9) + 100
        together = views(images, recipe(name), layout, 32, 5, 2, index)
        for view, found in zip(plan, together, strict=True):
            alone = rendered(images, view, view.table(5, 2, index))
            torch.testing.assert_close(found, alone, rtol=0, atol=1e-6)
