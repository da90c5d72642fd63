"""The checks of an evaluation, or of one of its named settings."""

import tempfile
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from sslbench.api import Evaluation, evaluations
from sslbench.config import build
from sslbench.conformance.results import Check
from sslbench.data.datasets import LabelledDataset, open_dataset
from sslbench.data.images import HeldImages
from sslbench.data.readers.source import SplitData
from sslbench.data.spec import DatasetSpec, Level, dataset_spec
from sslbench.environment import environment
from sslbench.errors import ConfigError, PluginError
from sslbench.evaluate import evaluate
from sslbench.features import FeatureStore
from sslbench.nn.config import EncoderConfig
from sslbench.nn.encoder import Encoder
from sslbench.protocols import resolve_evaluation
from sslbench.run import EvaluationConfig
from sslbench.store import Record, Store
from sslbench.suite import EvaluationEntry

CPU = torch.device("cpu")
CANDIDATES = ("objects_tiny", "canvases_tiny")  # one data set per task
ENCODER = EncoderConfig(
    name="resnet18",
    options={"layers": [1, 1, 1, 1], "channels": [8, 16, 32, 64]},
    stem="small",
    stem_stride=2,
)
CLASSES, TRAIN, TEST = 4, 320, 200


class _Patches:
    """Plain colours, one per class, with a little noise: the easiest data set; or shuffled."""

    def __init__(self, shuffled: bool) -> None:
        self.shuffled = shuffled

    def faults(self) -> list[str]:
        return []

    def class_names(self) -> list[list[str]]:
        return [[f"colour {number}" for number in range(CLASSES)]]

    def files(self) -> tuple[Path, Iterable[str]] | None:
        return None

    def read(self, split: str) -> SplitData:
        count = TRAIN if split == "train" else TEST
        draws = np.random.default_rng([count, 1])
        labels = np.arange(count) % CLASSES
        colours = np.array([[230, 30, 30], [30, 230, 30], [30, 30, 230], [230, 230, 230]])
        noise = draws.integers(-20, 20, (count, 3, 32, 32))
        pixels = np.clip(colours[labels][:, :, None, None] + noise, 0, 255).astype(np.uint8)
        if self.shuffled:
            labels = draws.permutation(labels)
        return SplitData(HeldImages(torch.from_numpy(pixels)), labels[:, None].astype(np.int64))


def _patches(shuffled: bool) -> LabelledDataset:
    spec = DatasetSpec(
        name="patches",
        levels=(Level(name="colour", classes=CLASSES),),
        splits={"train": TRAIN, "test": TEST},
        source="rendered",
        image_size=32,
        options={"shuffled": shuffled},
    )
    return LabelledDataset(spec, None, _Patches(shuffled))


class _Trial:
    """One evaluation with one of its settings, on the embedded data of its task."""

    def __init__(self, label: str) -> None:
        self.label = label

    @cached_property
    def encoder(self) -> Encoder:
        torch.manual_seed(0)
        return Encoder(ENCODER)

    @cached_property
    def plugin(self) -> type[Evaluation]:
        return evaluations.get(self.label.partition("@")[0])

    def resolve(self) -> None:
        reasons = []
        for candidate in CANDIDATES:
            entry = EvaluationEntry(
                protocol=self.label, dataset=candidate, settings=dict(self.plugin.trial)
            )
            wanted = resolve_evaluation("check", entry, {}, 32)
            settings = build(self.plugin.Config, wanted.settings, self.label)
            reason = self.plugin(settings).unsupported(self.encoder, dataset_spec(candidate))
            if reason is None:
                self.wanted = wanted
                return
            reasons.append(reason)
        raise ConfigError(f"suits none of the embedded data sets: {'; '.join(reasons)}")

    def measured(self, wanted: EvaluationConfig, dataset: LabelledDataset) -> Record:
        with tempfile.TemporaryDirectory() as folder:
            record = evaluate(
                wanted,
                self.encoder,
                {},
                dataset,
                run="check",
                seed=0,
                store=Store(Path(folder)),
                features=FeatureStore(),
                device=CPU,
                environment=environment(CPU),
                workers=0,
                on_progress=lambda done, total: None,
            )
        if record.failure is not None:
            raise PluginError(f"{record.failure.kind}: {record.failure.message}")
        return record

    def easy_and_hopeless(self) -> None:
        if self.wanted.dataset.task != "classification" or not self.plugin.freezes:
            return
        headline = self.plugin.metrics[0].name
        for shuffled in (False, True):
            dataset = _patches(shuffled)
            wanted = self.wanted.model_copy(update={"dataset": dataset.spec})
            value = self.measured(wanted, dataset).scores[headline].value
            chance = 100 / CLASSES
            if not shuffled and value < 95:
                raise PluginError(f"{headline} is {value:.1f} where classes are plain colours")
            if shuffled and abs(value - chance) > 15:
                raise PluginError(f"{headline} is {value:.1f} for shuffled labels, not {chance}")

    def repeats(self) -> None:
        dataset = open_dataset(self.wanted.dataset, None)
        one, other = (self.measured(self.wanted, dataset) for _ in range(2))
        if one.scores != other.scores or one.outcomes_sha256 != other.outcomes_sha256:
            raise PluginError(f"the same seed gave {one.scores} and {other.scores}")


def evaluation_checks(label: str) -> list[Check]:
    """In the order in which they build on one another."""
    trial = _Trial(label)
    return [
        ("settings resolve and a data set suits it", trial.resolve),
        ("plain colours score near 100, shuffled labels near chance", trial.easy_and_hopeless),
        ("scores match the metrics, frozen stays frozen, the same seed repeats", trial.repeats),
    ]
