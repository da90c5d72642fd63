"""Where the pixels of a view come from: random resized crop, flip, rotation, and the centre view.

Crop, resize and flip of a batch are two batched matrix products: resizing with a filter is linear
and separable, so each output row is a weighted sum of input rows. The weights are those of Pillow
and torchvision with antialias, where the filter is stretched by the scale when an image shrinks.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample
from torchvision.transforms.v2 import functional as tv

from sslbench.data.random import CROP_TRIES, Column
from sslbench.data.recipe import Look, Rotate

Filter = Literal["bilinear", "bicubic"]
_CACHED_PIXELS = 1 << 17  # so many pixels at a time, that a core's cache holds them
_MODES = {"bilinear": tv.InterpolationMode.BILINEAR, "bicubic": tv.InterpolationMode.BICUBIC}


@dataclass(frozen=True)
class Boxes:
    """One box per image, in whole pixels (N each, float32)."""

    left: Tensor
    top: Tensor
    width: Tensor
    height: Tensor


def crop_boxes(look: Look, table: Tensor, height: int, width: int) -> Boxes:
    """Boxes as torchvision's RandomResizedCrop draws them (Szegedy et al., arXiv:1409.4842).

    The area is uniform in ``look.crop`` and the ratio log-uniform in ``look.ratio``; of ten such
    pairs the first that fits counts, else the largest centred box whose ratio is allowed.
    """
    tries = table[:, Column.CROP_AREA_AND_RATIO :][:, : 2 * CROP_TRIES]
    low, high = torch.tensor(look.ratio).log().tolist()
    area = (look.crop[0] + (look.crop[1] - look.crop[0]) * tries[:, 0::2]) * (height * width)
    ratio = (low + (high - low) * tries[:, 1::2]).exp()  # N x tries
    w, h = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    first = fits.to(torch.uint8).argmax(1, keepdim=True)  # 0 where none fits
    w, h = w.gather(1, first)[:, 0], h.gather(1, first)[:, 0]
    left = (table[:, Column.CROP_LEFT] * (width - w + 1)).floor()
    top = (table[:, Column.CROP_TOP] * (height - h + 1)).floor()

    none = ~fits.any(1)
    shape = width / height
    largest_w = round(height * look.ratio[1]) if shape > look.ratio[1] else width
    largest_h = round(width / look.ratio[0]) if shape < look.ratio[0] else height
    return Boxes(
        left=left.masked_fill(none, (width - largest_w) // 2),
        top=top.masked_fill(none, (height - largest_h) // 2),
        width=w.masked_fill(none, largest_w),
        height=h.masked_fill(none, largest_h),
    )


def resize_weights(
    start: Tensor, length: Tensor, flip: Tensor, inputs: int, outputs: int
) -> Tensor:
    """N x inputs x outputs: a column holds the share of every input pixel in an output pixel.

    ``start`` and ``length`` (N) say which input pixels are seen, ``flip`` (N, bool) mirrors them.
    """
    position = torch.arange(outputs, device=start.device) + 0.5
    position = torch.where(flip[:, None], outputs - position, position)  # N x outputs
    scale = (length / outputs)[:, None]
    centre = start[:, None] + position * scale
    pixel = torch.arange(inputs, device=start.device) + 0.5
    distance = (pixel[None, :, None] - centre[:, None, :]).abs_()  # N x inputs x outputs
    distance *= 1 / scale.clamp(min=1)[:, None]
    weights = distance.neg_().add_(1).clamp_(min=0)  # the triangle of the bilinear filter
    # Pixels outside the box are unseen: nothing but the box decides what a view shows.
    inside = (pixel > start[:, None]) & (pixel < (start + length)[:, None])  # N x inputs
    weights *= inside[:, :, None]
    return weights.div_(weights.sum(1, keepdim=True))


def sandwich(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """N x C x h x w: ``rows.T @ image @ columns``, with rows N x H x h and columns N x W x w."""
    n, channels, height, width = images.shape
    wide = torch.bmm(images.reshape(n, channels * height, width), columns)
    return torch.matmul(rows.mT[:, None], wide.view(n, channels, height, -1))


def at_a_time(images: Tensor) -> int:
    """How many images to work on at once: a CPU is fastest with what fits its cache."""
    if images.device.type != "cpu":
        return len(images)
    return max(1, _CACHED_PIXELS // (images.shape[-2] * images.shape[-1]))


def resized_crops(images: Tensor, look: Look, size: int, table: Tensor) -> Tensor:
    """Random resized crops, some mirrored: N x 3 x size x size in [0, 1].

    ``images`` are N x 3 x H x W, uint8 or float in [0, 1]; ``table`` is N x columns of uniforms
    on the CPU, where the boxes are drawn: rounding on another device could move one by a pixel.
    """
    unit = 255.0 if images.dtype == torch.uint8 else 1.0
    height, width = images.shape[-2:]
    boxes = crop_boxes(look, table, height, width)
    sides = torch.stack([boxes.left, boxes.width, boxes.top, boxes.height])
    left, seen_width, top, seen_height = sides.to(images.device, non_blocking=True)
    flip = (table[:, Column.FLIP] < look.flip).to(images.device, non_blocking=True)
    upright = torch.zeros_like(flip)
    crops = torch.empty(len(images), images.shape[1], size, size, device=images.device)
    step = at_a_time(images)
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        rows = resize_weights(top[part], seen_height[part], upright[part], height, size)
        columns = resize_weights(left[part], seen_width[part], flip[part], width, size)
        crops[part] = sandwich(images[part].float(), rows.div_(unit), columns)
    return crops


def resized_crop(image: Tensor, look: Look, size: int, row: Tensor) -> Tensor:
    """The same for one image (3 x H x W, uint8) out of any size: 3 x size x size, uint8.

    torchvision's resize of whole numbers is faster than dense weights where images are large; its
    rounding is all that differs.
    """
    boxes = crop_boxes(look, row[None], image.shape[-2], image.shape[-1])
    left, top, width, height = (
        int(side.item()) for side in (boxes.left, boxes.top, boxes.width, boxes.height)
    )
    crop = tv.resized_crop(image, top, left, height, width, [size, size], antialias=True)
    mirrored: Tensor = crop.flip(-1) if row[Column.FLIP] < look.flip else crop
    return mirrored


def rotated(images: Tensor, degrees: Tensor) -> Tensor:
    """Images (N x 3 x H x W, float) turned counter-clockwise about their centre, black outside."""
    height, width = images.shape[-2:]
    angle = torch.deg2rad(degrees)
    cos, sin, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # Where an output pixel looks, in coordinates from -1 to 1 on both sides.
    first = torch.stack([cos, -sin * (height / width), none], 1)
    second = torch.stack([sin * (width / height), cos, none], 1)
    grid = affine_grid(torch.stack([first, second], 1), list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def rotation(setting: Rotate, table: Tensor) -> tuple[Tensor, Tensor]:
    """Which rows are turned (indices), and by how many degrees."""
    rows = (table[:, Column.ROTATE] < setting.p).nonzero()[:, 0]
    return rows, (2 * table[rows, Column.ROTATE_ANGLE] - 1) * setting.degrees


def centre_crop(
    images: Tensor, size: int, filter: Filter = "bilinear", crop_fraction: float = 224 / 256
) -> Tensor:
    """The evaluation view in whole numbers: ... x 3 x size x size, uint8.

    Images (... x 3 x H x W, uint8) of exactly this size are left alone. Of all others, smaller ones
    too, the short side is resized to ``size / crop_fraction`` and the centre is cut out.
    """
    height, width = images.shape[-2:]
    if (height, width) == (size, size):
        return images
    short = round(size / crop_fraction)
    resized = tv.resize(images, [short], interpolation=_MODES[filter], antialias=True)
    centre: Tensor = tv.center_crop(resized, [size, size])
    return centre


def centre_view(
    images: Tensor, size: int, filter: Filter = "bilinear", crop_fraction: float = 224 / 256
) -> Tensor:
    """What evaluations see: ``centre_crop`` as float32 in [0, 1]."""
    return centre_crop(images, size, filter, crop_fraction).float() / 255
