"""Images without labels: all that a method's training can see of a data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from sslbench.errors import DataError


class ImageSet(Protocol):
    """A sequence of images in a fixed order; position ``i`` is what methods call the index."""

    def __len__(self) -> int: ...

    def read(self, position: int) -> Tensor:
        """One image, 3 x H x W, uint8. Raises DataError naming the item if it cannot be read."""
        ...


@dataclass(frozen=True)
class HeldImages:
    """Small images of one size, held in memory once."""

    pixels: Tensor  # N x 3 x H x W, uint8

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, position: int) -> Tensor:
        return self.pixels[position]


@dataclass(frozen=True)
class FileImages:
    """Image files, decoded each time they are read."""

    paths: Sequence[Path]

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, position: int) -> Tensor:
        return decode(self.paths[position])


def decode(path: Path) -> Tensor:
    """A JPEG, PNG or whatever Pillow reads as 3 x H x W, uint8. Raises DataError."""
    try:
        with Image.open(path) as image:
            pixels: Tensor = pil_to_tensor(image.convert("RGB"))
            return pixels
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as an image ({error})") from error


def held(images: ImageSet) -> HeldImages:
    """All images in memory. Raises DataError if they differ in size."""
    if isinstance(images, HeldImages):
        return images
    pixels = [images.read(position) for position in range(len(images))]
    shapes = {tuple(image.shape) for image in pixels}
    if len(shapes) > 1:
        raise DataError(f"images of one size expected, found sizes {sorted(shapes)[:4]}")
    return HeldImages(torch.stack(pixels))
