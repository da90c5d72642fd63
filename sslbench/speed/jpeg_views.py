"""Views of photographs on one core, decoding included, against one PIL image at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import cast
from weakref import finalize

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sslbench.data.images import FileImages
from sslbench.data.loaders import ViewLoader
from sslbench.data.recipe import recipe
from sslbench.speed.cases import Setup
from sslbench.speed.lightly_loop import transform
from sslbench.speed.measurement import Measurement
from sslbench.speed.timing import Side, alternated, rate, ratio
from sslbench.speed.views import RECIPE, TWO, one_thread, pil_transform

Transform = Callable[[Image.Image], list[Tensor]]

_SHAPES = ((500, 375), (375, 500), (500, 333), (640, 480))  # width and height, as ImageNet's


def photograph(number: int, width: int, height: int) -> Image.Image:
    """Smooth colours, texture and grain: as a JPEG about as many bytes as a real one."""
    draws = np.random.default_rng(number)

    def smooth(shape: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        coarse = Image.fromarray((draws.random(shape) * 255).astype(np.uint8))
        return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float64)

    texture = smooth((height // 4, width // 4)) - 128
    grain = draws.normal(0, 6, (height, width))
    pixels = smooth((8, 10, 3)) + (0.35 * texture + grain)[:, :, None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


class Photographs:
    """Their files, which go when nobody uses them any more."""

    def __init__(self, count: int) -> None:
        folder = Path(mkdtemp(prefix="sslbench-speed-"))
        finalize(self, rmtree, folder)
        self.paths = [folder / f"{number:04}.jpg" for number in range(count)]
        for number, path in enumerate(self.paths):
            photograph(number, *_SHAPES[number % len(_SHAPES)]).save(path, quality=90)


@dataclass(frozen=True)
class JpegViews:
    """Two views of each of some files; every round opens and decodes them again."""

    name: str = "views_jpeg_224px"
    about: str = "views at 224 px out of JPEG files on one core, against PIL transforms"
    batches: int = 3
    batch: int = 64
    size: int = 224
    rounds: int = 7

    @property
    def images(self) -> int:
        return self.batches * self.batch

    def sides(self, setup: Setup) -> list[Side]:
        """What each ``work`` returns is the number of views it made."""
        files = Photographs(self.images)
        look = recipe(RECIPE).look(0)

        def ours() -> int:
            with one_thread():
                loader = ViewLoader(
                    FileImages(files.paths),
                    recipe(RECIPE),
                    TWO,
                    self.size,
                    self.batch,
                    0,
                    device=torch.device("cpu"),
                    workers=0,  # decoded here, on the one core
                    path="workers",
                )
                return sum(len(view) for views, _ in loader.epoch(0) for view in views)

        def one_by_one(both: Transform) -> int:
            made = 0
            with one_thread():
                for path in files.paths:
                    with Image.open(path) as image:
                        made += len(both(image.convert("RGB")))
            return made

        single = pil_transform(look, self.size)

        def twice(image: Image.Image) -> list[Tensor]:
            return [single(image), single(image)]

        sides = [Side("sslbench", ours), Side("torchvision (PIL)", partial(one_by_one, twice))]
        if "lightly" in setup.against:
            theirs = cast(Transform, transform(look, self.size))
            sides.append(Side("lightly", partial(one_by_one, theirs)))
        return sides

    def measure(self, setup: Setup) -> Measurement:
        seconds = alternated(self.sides(setup), self.rounds, setup.report)
        names = {"torchvision (PIL)": "against_torchvision", "lightly": "against_lightly"}
        return Measurement(
            title=f"Views of MoCo v2's recipe at {self.size} px out of JPEG files, one core",
            unit="views/s",
            rounds=self.rounds,
            figures={side: rate(times, 2 * self.images) for side, times in seconds.items()},
            ratios={
                name: ratio(seconds[side], seconds["sslbench"])
                for side, name in names.items()
                if side in seconds
            },
            note="files of about 90 kB and 500 pixels a side, decoded once for both views",
        )


LARGE = JpegViews()
