"""An evaluation's context that hands out given features instead of computing them."""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from sslbench.api import Features, Subject
from sslbench.data.spec import DatasetSpec
from sslbench.errors import Interrupted
from sslbench.evaluate import EngineContext
from sslbench.features import FeatureStore
from sslbench.nn.config import EncoderConfig
from sslbench.nn.encoder import Encoder
from sslbench.run import Preprocessing


class Kept:
    """A checkpoint in memory."""

    def __init__(self) -> None:
        self.state: dict[str, Any] | None = None

    def save(self, state: Mapping[str, Any]) -> None:
        self.state = copy.deepcopy(dict(state))

    def load(self) -> dict[str, Any] | None:
        return copy.deepcopy(self.state)


class GivenFeatures:
    """Features of train and test; every tenth training image is held out.

    ``stop``: the number of the call of ``progress`` that interrupts; what is run next goes on.
    """

    def __init__(self, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> None:
        self.device, self.seed, self.given = torch.device("cpu"), 0, {"train": train, "test": test}
        self.checkpoint = Kept()
        self.asked: list[str] = []
        self.seen: list[tuple[int, int]] = []
        self.stop: int | None = None

    def features(self, encoder: Any, dataset: Any, split: str, layer: int = -1) -> Features:
        self.asked.append(split)
        x, y = self.given["test" if split == "test" else "train"]
        index = torch.arange(len(x))
        if split in ("fit", "held_out"):
            index = index[(index % 10 == 0) == (split == "held_out")]
        return Features(x[index], y[index], index)

    def progress(self, done: int, total: int) -> None:
        self.seen.append((done, total))
        if len(self.seen) == self.stop:
            raise Interrupted("stop")


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
def engine(tmp_path: Path) -> Callable[..., Any]:
    """Runs an evaluation in the engine's own context, at 32 pixels, on a small encoder.

    Its outcome, what the context was told of its progress, and its log. ``stop``: the number of the
    call that interrupts it.
    """

    def run(
        evaluation: Any,
        dataset: Any,
        checkpoint: Any = None,
        stop: int | None = None,
        seed: int = 0,
    ) -> tuple[Any, list[tuple[int, int]], dict[str, float]]:
        seen: list[tuple[int, int]] = []

        def progress(done: int, total: int) -> None:
            seen.append((done, total))
            if len(seen) == stop:
                raise Interrupted("stop")

        torch.manual_seed(0)
        options = {"layers": [1, 1, 1, 1], "channels": [8, 16, 32, 64]}
        config = EncoderConfig(name="resnet18", options=options, stem="small", stem_stride=2)
        context = EngineContext(
            torch.device("cpu"),
            seed,
            checkpoint or Kept(),
            FeatureStore(tmp_path / "features"),
            Preprocessing(image_size=32),
            0,
            progress,
        )
        outcome = evaluation.run(Subject(Encoder(config).eval(), {}), dataset, context)
        return outcome, seen, context.logged

    return run


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
