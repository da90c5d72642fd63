"""Images without labels: all that a method's training can see of a data set."""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from sslbench.errors import DataError

_MAPPED_BYTES = 2**28  # of a mapped file that count as this process's memory before it lets go
MOST_PIXELS = 2**26  # of an image file: 8,192 x 8,192
_READ_AROUND = 2**16  # so much of a file Linux maps around what is read


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

    def batch(self, index: Tensor) -> Tensor:
        """The images at ``index`` (N): N x 3 x H x W, where the pixels are."""
        return self.pixels.index_select(0, index.to(self.pixels.device))

    def at(self, positions: Tensor) -> "HeldImages":
        return HeldImages(self.batch(positions))


class MappedImages:
    """Images of one size in a ``.npy`` file that may be larger than memory.

    The file holds N x 3 x H x W or N x H x W x 3 of uint8 and is mapped, so that only what is read
    is in memory, and the system takes even that back. ``positions`` (N, int64): which of the file's
    images they are, by default all. Raises DataError if the file is anything else.
    """

    def __init__(self, path: Path, positions: Tensor | None = None) -> None:
        self.path, self.positions = path, positions
        try:
            stored = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path}: cannot be read as a .npy file ({error})") from error
        shape = stored.shape
        if stored.dtype != np.uint8 or len(shape) != 4 or 3 not in (shape[1], shape[3]):
            raise DataError(
                f"{path}: {stored.dtype} of shape {shape}; expected: uint8 of N x 3 x H x W or "
                "N x H x W x 3"
            )
        if not stored.flags.c_contiguous:
            raise DataError(f"{path}: in Fortran's order. Save numpy.ascontiguousarray of it")
        self._channels_last = shape[1] != 3
        self._map: mmap.mmap | None = stored.base if isinstance(stored.base, mmap.mmap) else None
        self._pixels: NDArray[np.uint8] = np.asarray(stored)
        self._mapped = 0  # bytes, at most

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        shape = self._pixels.shape
        return (shape[1], shape[2]) if self._channels_last else (shape[2], shape[3])

    def __len__(self) -> int:
        return len(self._pixels if self.positions is None else self.positions)

    def __reduce__(self) -> tuple[type["MappedImages"], tuple[Path, Tensor | None]]:
        return MappedImages, (self.path, self.positions)  # another process maps the file itself

    def read(self, position: int) -> Tensor:
        return self.batch(torch.tensor([range(len(self))[position]]))[0]

    def batch(self, index: Tensor) -> Tensor:
        """The images at ``index`` (N): N x 3 x H x W, in memory."""
        rows = index if self.positions is None else self.positions[index]
        # By numpy: torch would wake its threads, which work on the batch before at this time.
        pixels = torch.from_numpy(self._pixels.take(rows.numpy(), axis=0))
        self._mapped += len(rows) * (self._pixels[0].nbytes + 2 * _READ_AROUND)
        if self._mapped > _MAPPED_BYTES:
            self._let_go()
        return pixels.permute(0, 3, 1, 2).contiguous() if self._channels_last else pixels

    def at(self, positions: Tensor) -> "MappedImages":
        rows = positions if self.positions is None else self.positions[positions]
        return MappedImages(self.path, rows)

    def _let_go(self) -> None:
        """Pages that were read would count as this process's until the system is short of memory.

        They stay in the system's cache, so that reading them again costs little.
        """
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
        self._mapped = 0


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
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read as an image ({error})") from error
    return decoded(content, str(path))


def decoded(content: bytes, name: str) -> Tensor:
    """The same of a file's content; ``name`` is what a DataError calls it."""
    try:
        with Image.open(BytesIO(content)) as image:
            if image.width * image.height > MOST_PIXELS:  # a few bytes can say any size
                raise DataError(
                    f"{name}: {image.width} x {image.height} pixels, more than the {MOST_PIXELS:,} "
                    "that an image may have. Make it smaller"
                )
            # Converting what is RGB already would copy it.
            pixels: Tensor = pil_to_tensor(image if image.mode == "RGB" else _rgb(image, name))
            return pixels
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{name}: cannot be read as an image ({error})") from error


def _rgb(image: Image.Image, name: str) -> Image.Image:
    """Any other mode as RGB. Raises DataError for numbers of which nobody says what is white."""
    if image.mode.startswith("I;16"):  # Pillow would cut everything above 255 off
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise DataError(
            f"{name}: pixels are 32-bit numbers (mode {image.mode}) of unknown range. Convert the "
            "image to 8 or 16 bits"
        )
    return image.convert("RGB")


def held(images: ImageSet) -> HeldImages:
    """All images in memory. Raises DataError if they differ in size."""
    if isinstance(images, HeldImages):
        return images
    first = images.read(0)
    pixels = torch.empty(len(images), *first.shape, dtype=torch.uint8)
    for position in range(len(images)):
        image = images.read(position)
        if image.shape != first.shape:
            sizes = sorted({tuple(first.shape), tuple(image.shape)})
            raise DataError(f"images of one size expected, found sizes {sizes}")
        pixels[position] = image
    return HeldImages(pixels)
