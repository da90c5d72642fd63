"""Squares of two kinds to be detected, and a context that can be interrupted."""

import io

import numpy as np
import pytest
import torch

from sslbench.api import Subject, evaluations
from sslbench.config import build, merge
from sslbench.data.images import HeldImages
from sslbench.data.readers.source import Boxes
from sslbench.data.spec import DatasetSpec
from sslbench.errors import Interrupted
from sslbench.nn.config import EncoderConfig
from sslbench.nn.encoder import Encoder

SIDE = 48
QUICK = {
    "short_sides": [SIDE],
    "long_side": SIDE,
    "steps": 90,
    "batch_size": 4,
    "lr": 0.05,
    "warmup_steps": 10,
    "schedule": "cosine",
    "clip": 5.0,
    "detector": {
        "fpn_width": 16,
        "head_width": 32,
        "anchor_scales": [4.0],
        "candidates": 30,
        "proposals": 30,
        "anchor_samples": 32,
        "region_samples": 16,
        "region_size": 3,
        "bin_samples": 1,
    },
}


class Squares:
    """Bright (class 0) and dark (class 1) squares on grey noise; every tenth image shows none."""

    spec = DatasetSpec(
        name="squares",
        task="detection",
        levels=({"name": "kind", "classes": 2},),
        splits={"train": 60, "test": 20},
        source="rendered",
    )

    def __init__(self):
        self.read = {}
        for seed, (split, count) in enumerate(self.spec.splits.items()):
            draw = np.random.default_rng(seed)
            pixels = draw.normal(128, 12, (count, 3, SIDE, SIDE))
            boxes = []
            for number, picture in enumerate(pixels):
                found, kinds = [], []
                for half in range(2 if number % 10 else 0):
                    side = int(draw.integers(12, 20))
                    left, top = (
                        draw.integers(0, SIDE - side),
                        draw.integers(0, 24 - side, endpoint=True),
                    )
                    top += 24 * half
                    kind = int(draw.integers(2))
                    picture[:, top : top + side, left : left + side] += 90 - 180 * kind
                    found.append((left, top, left + side, top + side))
                    kinds.append(kind)
                ignore = np.zeros(len(kinds), dtype=np.bool_)
                if number == 1:
                    ignore[0] = True
                boxes.append(
                    Boxes(
                        np.array(found, dtype=np.float32).reshape(-1, 4),
                        np.array(kinds, dtype=np.int64),
                        ignore,
                    )
                )
            images = HeldImages(torch.from_numpy(pixels.clip(0, 255).astype(np.uint8)))
            self.read[split] = images, tuple(boxes)

    def images(self, split):
        return self.read[split][0]

    def boxes(self, split):
        return self.read[split][1]


class Lent:
    """An evaluation context that keeps its checkpoint in memory and may be interrupted."""

    device = torch.device("cpu")

    def __init__(self, seed=0, state=None, stop_at=None):
        self.seed, self.state, self.stop_at = seed, state, stop_at
        self.checkpoint = self
        self.done, self.logged = [], {}

    def save(self, state):
        file = io.BytesIO()
        torch.save(dict(state), file)
        self.state = file.getvalue()

    def load(self):
        return self.state and torch.load(io.BytesIO(self.state), weights_only=True)

    def progress(self, done, total):
        self.done.append((done, total))
        if done == self.stop_at:
            raise Interrupted("stopped")

    def log(self, name, value):
        assert np.isfinite(value)
        self.logged[name] = value


def small_encoder():
    torch.manual_seed(0)
    options = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}
    return Encoder(EncoderConfig(name="resnet18", options=options, stem="small", stem_stride=2))


def evaluation(**changes):
    cls = evaluations.get("detection")
    return cls(build(cls.Config, merge(QUICK, changes), "test"))


def measured(data, context=None, encoder=None, **changes):
    subject = Subject(encoder or small_encoder(), {})
    return evaluation(**changes).run(subject, data, context or Lent()).table


@pytest.fixture(scope="session", name="evaluation")
def evaluation_with():
    return evaluation


@pytest.fixture(scope="session", name="measured")
def measuring():
    """Runs the evaluation with some changes of its settings; its table."""
    return measured


@pytest.fixture(scope="session", name="small_encoder")
def small_encoder_of_these_tests():
    return small_encoder


@pytest.fixture(scope="session", name="lent")
def context_class():
    return Lent


@pytest.fixture(scope="session")
def squares_class():
    return Squares


@pytest.fixture(scope="session")
def squares():
    return Squares()
