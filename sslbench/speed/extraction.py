"""Features of a data set by a frozen encoder, against the loop that anyone would write first."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from sslbench.api import Split
from sslbench.data.datasets import LabelledDataset, open_dataset
from sslbench.data.images import held
from sslbench.data.spec import dataset_spec
from sslbench.feature_pass import BATCH
from sslbench.features import FeatureStore
from sslbench.nn.encoder import Encoder
from sslbench.run import Preprocessing
from sslbench.speed.cases import Setup
from sslbench.speed.measurement import Measurement
from sslbench.speed.rows import CPU, planned
from sslbench.speed.timing import Side, alternated, rate, ratio
from sslbench.train.build import build_encoder


class Centres(Dataset[Tensor]):
    """The evaluation view of pixels in memory, one PIL image at a time."""

    def __init__(self, pixels: Tensor, looks: Preprocessing) -> None:
        self.pixels = pixels.permute(0, 2, 3, 1).contiguous().numpy()  # N x H x W x 3, uint8
        shorter = round(looks.image_size / looks.crop_fraction)
        self.transform = transforms.Compose(
            [
                transforms.Resize(shorter),
                transforms.CenterCrop(looks.image_size),
                transforms.ToTensor(),
            ]
        )

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, position: int) -> Tensor:
        view: Tensor = self.transform(Image.fromarray(self.pixels[position]))
        return view


@dataclass(frozen=True)
class Extraction:
    """The suite's encoder on the training images of a data set."""

    name: str = "features"
    about: str = "features of all training images, views included, against a DataLoader of PIL"
    dataset: str = "objects"
    crop_fraction: float = 1.0
    workers: int = os.cpu_count() or 1  # of the plain loop
    rounds: int = 5

    def sides(self, setup: Setup) -> list[Side]:
        config = planned("simclr", {}).config
        encoder = build_encoder(config).eval()
        looks = Preprocessing(image_size=32, crop_fraction=self.crop_fraction)
        data = open_dataset(dataset_spec(self.dataset), None)
        fast = build_encoder(config).eval().to(memory_format=torch.channels_last)
        fast.load_state_dict(encoder.state_dict())  # an evaluation has its own copy, in this form
        plain = Centres(held(data.images("train")).pixels, looks)
        return [
            Side("sslbench", lambda: stored_features(fast, data, looks)),
            Side("plain loop", lambda: self._plain(encoder, plain)),
        ]

    def _plain(self, encoder: Encoder, views: Centres) -> Tensor:
        with torch.no_grad():
            loader = DataLoader(views, batch_size=BATCH, num_workers=self.workers)
            return torch.cat([encoder(batch) for batch in loader])

    def measure(self, setup: Setup) -> Measurement:
        sides = self.sides(setup)
        images = len(open_dataset(dataset_spec(self.dataset), None).images("train"))
        seconds = alternated(sides, self.rounds, setup.report)
        ours, plain = seconds.values()
        return Measurement(
            title=f"Features of {images:,} images of 32 px",
            unit="images/s",
            rounds=self.rounds,
            figures={name: rate(values, images) for name, values in seconds.items()},
            ratios={"against_plain": ratio(plain, ours)},
            note=f"Float32 on both sides; ours writes its file. Plain: {self.workers} workers.",
        )


def stored_features(
    encoder: Encoder, data: LabelledDataset, looks: Preprocessing, split: Split = "train"
) -> Tensor:
    """As an evaluation asks for them the first time: N x D, mapped from a file just written."""
    with tempfile.TemporaryDirectory() as folder:
        found = FeatureStore(Path(folder)).features(
            encoder,
            data,
            split,
            -1,
            looks,
            seed=0,
            device=CPU,
            workers=0,
            on_progress=lambda done, total: None,
        )
        return found.x


EXTRACTION = Extraction()
