"""An evaluation's context that hands out given features instead of computing them."""

import copy
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from sslbench.api import Features, Subject
from sslbench.data.spec import DatasetSpec


class Kept:
    """A checkpoint in memory."""

    def __init__(self) -> None:
        self.state: dict[str, Any] | None = None

    def save(self, state: Mapping[str, Any]) -> None:
        self.state = copy.deepcopy(dict(state))

    def load(self) -> dict[str, Any] | None:
        return copy.deepcopy(self.state)


class GivenFeatures:
    """Features of train and test; every tenth training image is held out."""

    def __init__(self, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> None:
        self.device, self.seed, self.given = torch.device("cpu"), 0, {"train": train, "test": test}
        self.checkpoint = Kept()
        self.asked: list[str] = []
        self.seen: list[tuple[int, int]] = []

    def features(self, encoder: Any, dataset: Any, split: str, layer: int = -1) -> Features:
        self.asked.append(split)
        x, y = self.given["test" if split == "test" else "train"]
        index = torch.arange(len(x))
        if split in ("fit", "held_out"):
            index = index[(index % 10 == 0) == (split == "held_out")]
        return Features(x[index], y[index], index)

    def progress(self, done: int, total: int) -> None:
        self.seen.append((done, total))


def spec_of(classes: int, task: str = "classification") -> DatasetSpec:
    return DatasetSpec.model_validate_json(
        '{"name": "toy", "source": "rendered", "splits": {"train": null, "test": null}, '
        f'"task": "{task}", "levels": [{{"name": "class", "classes": {classes}}}]}}'
    )


@pytest.fixture
def spec() -> Callable[..., DatasetSpec]:
    return spec_of


@pytest.fixture
def given() -> type[GivenFeatures]:
    return GivenFeatures


@pytest.fixture
def kept() -> type[Kept]:
    return Kept


@pytest.fixture
def measure() -> Callable[..., Any]:
    """Runs an evaluation on given features; its outcome."""

    def run(evaluation: Any, context: GivenFeatures, classes: int) -> Any:
        dataset: Any = SimpleNamespace(spec=spec_of(classes))
        nobody: Any = None
        return evaluation.run(Subject(nobody, {}), dataset, context)

    return run


@pytest.fixture
def blobs() -> Callable[..., tuple[Tensor, Tensor]]:
    """Points around one random centre per class, and their classes (N x 1)."""

    def draw(n: int, classes: int, spread: float, seed: int) -> tuple[Tensor, Tensor]:
        centres = torch.randn(classes, 16, generator=torch.Generator().manual_seed(99))
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(classes, (n, 1), generator=generator)
        noise = torch.randn(n, 16, generator=generator)
        return centres[labels[:, 0]] + spread * noise, labels

    return draw
