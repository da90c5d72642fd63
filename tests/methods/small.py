"""What tests of methods share: a small encoder, batches, and what stands in for the trainer."""

import math

import torch
from torch import nn

from sslbench.api import Batch, DataInfo
from sslbench.nn import EncoderConfig

DATA = DataInfo(images=64, batch_size=16, image_size=16, epochs=10, steps_per_epoch=4)
IMAGENET = DataInfo(1_281_167, 256, 224, 200, 5004)
SMALL = EncoderConfig(
    name="resnet18", stem="small", options={"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8]}
)
IMAGES = torch.rand(64, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Rows(nn.Module):
    """An encoder of rows of numbers."""

    def __init__(self, dim=5):
        super().__init__()
        self.layer, self.dim = nn.Linear(dim, dim), dim

    def forward(self, rows):
        return self.layer(rows)


def rows_batch(count=6, dim=5, seed=1, dtype=torch.float64):
    """Two views of ``count`` images that are rows of numbers."""
    generator = torch.Generator().manual_seed(seed)
    views = [torch.randn(count, dim, generator=generator, dtype=dtype) for _ in range(2)]
    return Batch(tuple(views), torch.arange(10, 10 + count))


def image_batch(views=2, size=8):
    """Sixteen images and their mirror images; further views are corners of ``size`` pixels."""
    index = torch.arange(0, len(IMAGES), 4)
    images = IMAGES[index]
    local = [images[..., :size, :size]] * (views - 2)
    return Batch((images, images.flip(3), *local), index)


def cosine(one, other):
    """Of two rows, number by number."""
    one, other = one.tolist(), other.tolist()
    product = sum(x * y for x, y in zip(one, other, strict=True))
    return product / math.sqrt(sum(x * x for x in one) * sum(y * y for y in other))


class Draws:
    """A context that draws integers from one generator; keeps what it gave."""

    def __init__(self, seed=7):
        self.generator = torch.Generator().manual_seed(seed)
        self.given = []

    def integers(self, high, rows, *shape):
        self.given.append(torch.randint(high, (rows, *shape), generator=self.generator))
        return self.given[-1]


class SeededContext:
    """Draws of every kind from one generator; ``embed`` as the trainer does it."""

    def __init__(self, method, epoch=5, epochs=10):
        self.method, self.epoch, self.epochs, self.step = method, epoch, epochs, 0
        self.steps = epochs * DATA.steps_per_epoch
        self.generator = torch.Generator().manual_seed(7)

    def bernoulli(self, chances, rows):
        table = chances.probability[rows]
        return torch.rand(table.shape, generator=self.generator) < table

    def choice(self, n, k):
        return self.permutation(n)[:k]

    def permutation(self, n):
        return torch.randperm(n, generator=self.generator)

    @torch.no_grad()
    def embed(self, function):
        self.method.eval()
        features = function(IMAGES)
        self.method.train()
        return features

    def log(self, name, value):
        pass
