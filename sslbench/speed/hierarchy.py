"""What clusters cost: an epoch of HCSC and of PCL in epochs of MoCo, clustering included."""

from dataclasses import dataclass

import torch

from sslbench.config import Tree
from sslbench.data.images import HeldImages
from sslbench.plan import Planned
from sslbench.speed.cases import Setup
from sslbench.speed.measurement import Measurement
from sslbench.speed.rows import planned_on, trained
from sslbench.speed.timing import Side, alternated, figure, ratio

SUITE = "cifar10-mini"
CLASSES, SIZE = 10, 32


@dataclass(frozen=True)
class Clustered:
    """Whole epochs that begin with clusters, of images that are made here."""

    name: str = "clustered_epoch"
    about: str = "an epoch of HCSC and of PCL against one of MoCo, clustering included"
    labels: tuple[str, ...] = ("hcsc", "pcl")
    images: int = 10_000
    batch_size: int = 256
    rounds: int = 5

    def row(self, label: str) -> Planned:
        return one_epoch(label, self.images, self.batch_size, {})

    def sides(self, setup: Setup) -> list[Side]:
        images = synthetic(self.images)

        def side(label: str) -> Side:
            row = self.row(label)
            return Side(label, lambda: trained(row, images))

        return [side(label) for label in ("moco", *self.labels)]

    def measure(self, setup: Setup) -> Measurement:
        row = self.row("moco")
        seconds = alternated(self.sides(setup), self.rounds, setup.report)
        return Measurement(
            title=f"An epoch of {self.images:,} images at {row.data.image_size} px, batch "
            f"{row.data.batch_size}, by method",
            unit="s",
            rounds=self.rounds,
            figures={label: figure(times) for label, times in seconds.items()},
            ratios={
                f"{label}_in_epochs_of_moco": ratio(seconds[label], seconds["moco"])
                for label in self.labels
            },
            note=f"The settings of {SUITE}, in {row.config.pretrain.precision}: the whole of "
            "`pretrain`, with clustering, health, log and checkpoint. A ratio is the time of an "
            "epoch, so above 1 the method is slower.",
        )


def one_epoch(label: str, images: int, batch_size: int, params: Tree) -> Planned:
    """A run of one epoch of so many images, which then has no warm-up without clusters."""
    trial: Tree = {"epochs": 1, "batch_size": batch_size, "optim": {"warmup_epochs": 0.0}}
    changes: Tree = {"pretrain": trial, "params": params}
    return planned_on(SUITE, label, images, CLASSES, SIZE, changes)


def synthetic(images: int, size: int = SIZE) -> HeldImages:
    """Blurred noise: neighbouring pixels are alike, as in photographs."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(images, 3, size // 4, size // 4, generator=generator)
    found = torch.empty(images, 3, size, size, dtype=torch.uint8)
    for pixels, block in zip(torch.split(found, 1024), torch.split(coarse, 1024), strict=True):
        smooth = torch.nn.functional.interpolate(block, size=(size, size), mode="bilinear")
        pixels.copy_(smooth.mul_(255))
    return HeldImages(found)


CLUSTERED = Clustered()
