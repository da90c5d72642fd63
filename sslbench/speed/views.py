"""Views of small images on one core: batched, against one PIL image at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from PIL import Image
from torchvision import transforms as pil

from sslbench.data.augment import views
from sslbench.data.recipe import Look, ViewConfig, recipe
from sslbench.speed.cases import Setup
from sslbench.speed.lightly_loop import transform
from sslbench.speed.measurement import Measurement
from sslbench.speed.rows import images_of, planned
from sslbench.speed.timing import Side, alternated, rate, ratio

RECIPE = "moco_v2"
TWO = (ViewConfig(), ViewConfig())


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def pil_transform(look: Look, size: int) -> pil.Compose:
    """A look as torchvision's transforms of PIL images."""
    jitter = look.jitter
    amounts = jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue
    sigma = (look.blur.sigma[0] * size, look.blur.sigma[1] * size)
    taps = 2 * max(1, round(0.05 * size)) + 1  # SimCLR: a tenth of the side
    return pil.Compose(
        [
            pil.RandomResizedCrop(size, scale=look.crop, ratio=look.ratio),
            pil.RandomHorizontalFlip(look.flip),
            pil.RandomApply([pil.ColorJitter(*amounts)], p=jitter.p),
            pil.RandomGrayscale(look.grayscale),
            pil.RandomApply([pil.GaussianBlur(taps, sigma)], p=look.blur.p),
            pil.ToTensor(),
        ]
    )


@dataclass(frozen=True)
class SmallViews:
    """Two views of each of some images of the default suite's size."""

    name: str = "views_32px"
    about: str = "views of small images on one core, batched, against PIL transforms"
    images: int = 2048
    batch: int = 256
    rounds: int = 7

    def sides(self, setup: Setup) -> list[Side]:
        row = planned("simclr", {})
        pixels = images_of(row).pixels[: self.images]
        size = row.data.image_size
        look = recipe(RECIPE).look(0)
        pictures = [Image.fromarray(one.permute(1, 2, 0).numpy()) for one in pixels]
        single = pil_transform(look, size)

        def batched() -> None:
            with one_thread():
                for index in torch.split(torch.arange(len(pixels)), self.batch):
                    views(pixels[index], recipe(RECIPE), TWO, size, 0, 0, index)

        def one_by_one() -> None:
            with one_thread():
                for picture in pictures:
                    single(picture), single(picture)

        sides = [Side("sslbench", batched), Side("torchvision (PIL)", one_by_one)]
        if "lightly" in setup.against:
            both = transform(look, size)

            def by_lightly() -> None:
                with one_thread():
                    for picture in pictures:
                        both(picture)  # type: ignore[operator]

            sides.append(Side("lightly", by_lightly))
        return sides

    def measure(self, setup: Setup) -> Measurement:
        sides = self.sides(setup)
        seconds = alternated(sides, self.rounds, setup.report)
        ours = seconds[sides[0].name]
        ratios = {"against_torchvision": ratio(seconds["torchvision (PIL)"], ours)}
        if "lightly" in seconds:
            ratios["against_lightly"] = ratio(seconds["lightly"], ours)
        size = planned("simclr", {}).data.image_size
        return Measurement(
            title=f"Views of MoCo v2's recipe at {size} px, one core",
            unit="views/s",
            rounds=self.rounds,
            figures={name: rate(times, 2 * self.images) for name, times in seconds.items()},
            ratios=ratios,
        )


SMALL = SmallViews()
