"""How time and memory grow with the number of training images, all else being equal."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sslbench.config import Tree
from sslbench.data.datasets import LabelledDataset
from sslbench.data.images import HeldImages
from sslbench.data.readers.source import SplitData
from sslbench.data.spec import DatasetSpec, Level
from sslbench.nn.search import nearest
from sslbench.plan import Planned
from sslbench.run import Preprocessing
from sslbench.speed.cases import Setup
from sslbench.speed.extraction import stored_features
from sslbench.speed.hierarchy import CLASSES, SIZE, one_epoch, synthetic
from sslbench.speed.measurement import Measurement
from sslbench.speed.rows import CPU, trained
from sslbench.speed.timing import Side, alternated, figure, peak_gib
from sslbench.train.build import build_encoder


class Made:
    """A source of images that are made here, with labels that say nothing."""

    def __init__(self, splits: dict[str, int]) -> None:
        self.images = {name: synthetic(count) for name, count in splits.items()}

    def faults(self) -> list[str]:
        return []

    def class_names(self) -> list[list[str]]:
        return [[str(number) for number in range(CLASSES)]]

    def read(self, split: str) -> SplitData:
        images = self.images[split]
        return SplitData(images, np.arange(len(images))[:, None] % CLASSES)

    def files(self) -> tuple[Path, Iterable[str]] | None:
        return None


@dataclass(frozen=True)
class Growth:
    """An epoch of HCSC, features of both splits, the neighbours of a test set that stays."""

    name: str = "growth"
    about: str = "time and memory of HCSC, features and kNN for more and more images"
    images: tuple[int, ...] = (5_000, 20_000, 80_000)
    test_images: int = 1_000
    clusters: tuple[int, ...] = (384, 256, 128)
    queue: int = 2_048
    batch_size: int = 256
    neighbours: int = 200
    rounds: int = 2

    def row(self, images: int) -> Planned:
        """Steps are in proportion to images; clusters and queue stay."""
        params: Tree = {"clusters": list(self.clusters), "queue_size": self.queue}
        return one_epoch("hcsc", images, self.batch_size, params)

    def sides(self, setup: Setup) -> list[Side]:
        return [self._side(count) for count in self.images]

    def _side(self, count: int) -> Side:
        row = self.row(count)
        splits: dict[str, int | None] = {"train": count, "test": self.test_images}
        spec = DatasetSpec(
            name=f"made-{count}",
            levels=(Level(name="class", classes=CLASSES),),
            splits=splits,
            source="rendered",
            image_size=SIZE,
        )
        source = Made({"train": count, "test": self.test_images})
        data = LabelledDataset(spec, None, source)
        return Side(f"{count:,} images", lambda: self._work(row, data, source.images["train"]))

    def _work(self, row: Planned, data: LabelledDataset, images: HeldImages) -> Tensor:
        """The test images' neighbours: N x k positions in the training set."""
        trained(row, images)
        encoder = build_encoder(row.config).eval().to(memory_format=torch.channels_last)
        looks = Preprocessing(image_size=SIZE)
        bank = stored_features(encoder, data, looks, "train")
        test = stored_features(encoder, data, looks, "test")
        _, position = nearest(test, bank, min(self.neighbours, len(bank)), CPU)
        return position

    def measure(self, setup: Setup) -> Measurement:
        seconds = alternated(self.sides(setup), self.rounds, setup.report)
        setup.report("peak memory")
        memory = {name: peak_gib(self.name, name, setup) for name in seconds}
        rounds = zip(*seconds.values(), strict=True)
        exponents = [exponent(self.images, times) for times in rounds]
        row = self.row(self.images[0])
        return Measurement(
            title="An epoch of HCSC, features and kNN of "
            f"{' / '.join(f'{count:,}' for count in self.images)} images at "
            f"{SIZE} px",
            unit="s",
            rounds=self.rounds,
            figures={name: figure(times) for name, times in seconds.items()},
            ratios={"exponent": figure(exponents)},
            memory_gib=memory,
            note=f"Clusters {'-'.join(map(str, self.clusters))}, a queue of {self.queue:,} and "
            f"{self.test_images:,} test images throughout, in {row.config.pretrain.precision}. "
            "The exponent is the slope of log time over log images: 1 is in proportion. Memory: "
            "beside the images, which are held before.",
        )


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """The slope of log seconds over log sizes, by least squares."""
    x = [math.log(size) for size in sizes]
    y = [math.log(second) for second in seconds]
    return statistics.linear_regression(x, y).slope


GROWTH = Growth()
