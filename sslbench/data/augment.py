"""Views: a recipe and a layout turned into tensors.

A batch of small images becomes views in one go (``views``). Large images of many sizes go two
ways that meet: a worker process crops one image (``geometry``), the rest happens to the batch
(``finished``). Both read the same table of uniforms, so a view does not depend on the way.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from sslbench.config import build, merge
from sslbench.data.colour import colour
from sslbench.data.geometry import resized_crop, resized_crops, rotated, rotation
from sslbench.data.random import COLUMNS, Column, uniforms
from sslbench.data.recipe import Look, Recipe, ViewConfig
from sslbench.errors import ConfigError

# PIRL's jigsaw (Misra and van der Maaten, arXiv:1912.01991): where images are 224 pixels, an image
# of 255 is cut into 3 x 3 cells of 85, and each cell shows a window of 64 at a random place.
_JIGSAW_IMAGE = 255 / 224
_JIGSAW_WINDOW = 64 / 85

# A jigsaw's patch has its own uniforms behind those of its view: window, place in the order, and
# colours, which the paper draws for every patch.
_LEFT, _TOP, _ORDER, _COLOURS = range(4)
_PATCH_COLUMNS = _COLOURS + Column.SOLARIZE + 1


@dataclass(frozen=True)
class View:
    """One view of a layout, in pixels."""

    number: int  # place among the views; part of what its uniforms depend on
    look: Look
    image_size: int  # the run's, which the blur refers to
    side: int  # of the picture before it is cut into patches
    patches: Literal["none", "jigsaw", "grid"] = "none"
    grid: int = 0
    patch: int = 0  # side of a patch

    def table(self, seed: int, epoch: int, index: Tensor) -> Tensor:
        """The uniforms of this view of the images at ``index`` (N): N x columns, on the CPU."""
        more = self.grid**2 * _PATCH_COLUMNS if self.patches == "jigsaw" else 0
        return uniforms(seed, epoch, index.cpu(), self.number, COLUMNS + more)


def planned(recipe: Recipe, layout: tuple[ViewConfig, ...], image_size: int) -> tuple[View, ...]:
    """The views of a layout, full-size ones first, repeated entries written out.

    Raises ConfigError if a view would have less than two pixels on a side.
    """
    entries = sorted(layout, key=lambda entry: not entry.is_full)  # stable
    entries = [entry for entry in entries for _ in range(entry.repeat)]
    shared = recipe.look(len(recipe.per_view))
    plan = []
    for number, entry in enumerate(entries):
        look = recipe.look(number) if entry.is_full else shared
        if entry.crop is not None:
            changed = merge(look.model_dump(mode="json"), {"crop": list(entry.crop)})
            look = build(Look, changed, f"view {number + 1}")
        side, patch = _sides(entry, image_size)
        if min(side, patch or side) < 2:
            raise ConfigError(
                f"view {number + 1}: size {entry.size} with grid {entry.grid} leaves "
                f"{patch or side} pixels of {image_size}; take a larger image_size or size"
            )
        plan.append(View(number, look, image_size, side, entry.patches, entry.grid, patch))
    return tuple(plan)


def _sides(entry: ViewConfig, image_size: int) -> tuple[int, int]:
    """Pixels of a side of the picture, and of a patch of it (0 without patches)."""
    if entry.patches == "jigsaw":
        cell = round(entry.size * image_size * _JIGSAW_IMAGE / entry.grid)
        return cell * entry.grid, round(cell * _JIGSAW_WINDOW)
    if entry.patches == "grid":
        # Neighbours overlap by half, as in CPC (arXiv:1905.09272): 7 x 7 patches of a quarter.
        stride = round(entry.size * image_size) // (entry.grid + 1)
        return stride * (entry.grid + 1), 2 * stride
    return round(entry.size * image_size), 0


def views(
    images: Tensor,
    recipe: Recipe,
    layout: tuple[ViewConfig, ...],
    image_size: int,
    seed: int,
    epoch: int,
    index: Tensor,
) -> tuple[Tensor, ...]:
    """All views of a batch: N x 3 x S x S each, patches N x P x 3 x h x w, float32 in [0, 1].

    ``images`` are N x 3 x H x W, uint8 or float in [0, 1]; ``index`` (N) holds their positions in
    the training set, which decide what happens to them. Raises ConfigError as ``planned`` does.
    """
    return planned_views(images, planned(recipe, layout, image_size), seed, epoch, index)


def planned_views(
    images: Tensor, plan: tuple[View, ...], seed: int, epoch: int, index: Tensor
) -> tuple[Tensor, ...]:
    """The same for a plan. What looks alike is made together, in fewer and larger operations."""
    alike: dict[View, list[View]] = {}
    for view in plan:
        alike.setdefault(replace(view, number=0), []).append(view)
    made: dict[View, Tensor] = {}
    for group in alike.values():
        tables = torch.cat([view.table(seed, epoch, index) for view in group])
        together = rendered(images.repeat(len(group), 1, 1, 1), group[0], tables)
        made.update(zip(group, together.chunk(len(group)), strict=True))
    return tuple(made[view] for view in plan)


def rendered(images: Tensor, view: View, table: Tensor) -> Tensor:
    """One view of a batch of images of one size, with the view's table (N x columns)."""
    crops = resized_crops(images, view.look, view.side, table)
    rows, degrees = rotation(view.look.rotate, table)
    if len(rows):
        place = rows.to(crops.device)
        turned = rotated(crops.index_select(0, place), degrees.to(crops.device))
        crops.index_copy_(0, place, turned)
    return finished(crops, view, table)


def geometry(image: Tensor, look: Look, size: int, row: Tensor) -> Tensor:
    """Crop, resize, flip and rotation of one image: 3 x size x size, uint8.

    ``image`` is 3 x H x W, uint8, of any size; ``row`` (columns) its uniforms.
    """
    crop = resized_crop(image, look, size, row)
    rows, degrees = rotation(look.rotate, row[None])
    if len(rows):
        crop = rotated(crop[None].float(), degrees)[0].round_().to(torch.uint8)
    return crop


def finished(crops: Tensor, view: View, table: Tensor) -> Tensor:
    """What follows the geometry: colours, then patches. Overwrites ``crops``, N x 3 x S x S."""
    if view.patches == "jigsaw":
        drawn = table[:, COLUMNS:].reshape(len(table), view.grid**2, _PATCH_COLUMNS)
        patches = _shuffled_patches(crops, view, drawn)  # N x P x 3 x h x w
        own = drawn[:, :, _COLOURS:].flatten(0, 1)  # NP x columns of colour()
        return colour(patches.flatten(0, 1), view.look, own, view.image_size).view_as(patches)
    images = colour(crops, view.look, table, view.image_size)
    if view.patches == "grid":
        stride = view.patch // 2
        windows = images.unfold(2, view.patch, stride).unfold(3, view.patch, stride)
        return windows.permute(0, 2, 3, 1, 4, 5).flatten(1, 2).contiguous()
    return images


def _shuffled_patches(images: Tensor, view: View, drawn: Tensor) -> Tensor:
    """A window out of every cell, in random order: N x P x 3 x h x w."""
    cell = view.side // view.grid
    cells = drawn[:, :, _ORDER].argsort(dim=1, stable=True)  # N x P: which cell stands where
    places = cell - view.patch + 1  # so many places has a window in its cell
    left = cells % view.grid * cell + (drawn[:, :, _LEFT] * places).long()
    top = cells // view.grid * cell + (drawn[:, :, _TOP] * places).long()
    along = torch.arange(view.patch)
    rows = (top[:, :, None] + along).to(images.device)  # N x P x h
    columns = (left[:, :, None] + along).to(images.device)
    image = torch.arange(len(images), device=images.device)[:, None, None, None]
    # Indexed dimensions come first: N x P x h x w x 3.
    windows = images[image, :, rows[:, :, :, None], columns[:, :, None, :]]
    return windows.permute(0, 1, 4, 2, 3).contiguous()
