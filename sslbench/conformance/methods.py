"""The checks of a pre-training method or one of its variants."""

import tempfile
from pathlib import Path

import torch

from sslbench.api import Method, methods
from sslbench.config import build
from sslbench.conformance.results import Check
from sslbench.data.datasets import open_dataset
from sslbench.data.spec import DatasetSpec
from sslbench.errors import Interrupted, PluginError
from sslbench.nn.clustering import Clusters
from sslbench.nn.memory import FeatureQueue
from sslbench.nn.momentum import MomentumCopy
from sslbench.plan import Environs, Planned, plan
from sslbench.suite import Suite
from sslbench.train.loop import Progress, build_encoder, pretrain, seed_method

STEPS, EPOCHS = 3, 3
IMAGES = 1280  # enough for clusters that a batch of 32 does not use up

SUITE = Suite(
    name="conformance",
    title="conformance",
    methods=("simclr",),
    baselines=(),
    datasets={"objects_tiny": {"splits": {"train": IMAGES, "test": 64}}},
    encoder={
        "name": "resnet18",
        "options": {"layers": [1, 1, 1, 1], "channels": [4, 8, 8, 16]},
        "stem": "small",
        "stem_stride": 2,
    },
    pretrain={
        "dataset": "objects_tiny",
        "epochs": EPOCHS,
        "steps": STEPS,
        "batch_size": 32,
        "image_size": 32,
        "precision": "fp32",
    },
    evaluations={},
    tables={},
)
CARD_MODULES = {"momentum_encoder": MomentumCopy, "clustering": Clusters}


def _count(spec: DatasetSpec) -> int:
    del spec
    return IMAGES


class _Trial:
    """One method or variant, resolved as in a run, and what its trainings gave."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.digest = ""

    def resolve(self) -> None:
        environs = Environs(bf16=False, count=_count)
        self.row: Planned = plan(SUITE, [self.label], [0], {}, environs)[0]

    def built(self) -> Method:
        config = self.row.config
        encoder = build_encoder(config)
        seed_method(config)
        cls = methods.get(config.method)
        return cls(encoder, build(cls.Config, config.params, self.label), self.row.data)

    def card(self) -> None:
        card, kinds = self.row.card, {type(module) for module in self.built().modules()}
        for key, kind in CARD_MODULES.items():
            if bool(card.get(key)) != (kind in kinds):
                raise PluginError(f"the card says {key}: {card.get(key)}, the modules otherwise")
        if (card.get("negatives") == "queue") != (FeatureQueue in kinds):
            raise PluginError(
                f"the card says negatives: {card.get('negatives')}, the modules otherwise"
            )

    def trained(self, folder: Path, stop_at: int | None = None) -> str:
        reached = 0

        def watch(progress: Progress) -> None:
            nonlocal reached
            reached = progress.step

        self.method = self.built()
        return pretrain(
            self.row.config,
            self.method,
            self.row.data,
            open_dataset(self.row.config.pretrain.dataset, None).images("train"),
            folder,
            device=torch.device("cpu"),
            on_progress=watch,
            stopped=lambda: reached == stop_at,
        ).encoder_digest

    def trains(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.digest = self.trained(Path(folder))

    def gradients(self) -> None:
        for name, param in self.method.named_parameters():
            if param.requires_grad and param.grad is None:
                raise PluginError(f"no gradient reached {name}")
            if not param.requires_grad and param.grad is not None:
                raise PluginError(f"a gradient reached {name}, which takes none")

    def artifacts(self) -> None:
        for name, tensor in self.method.artifacts().items():
            if not torch.isfinite(tensor.float()).all():
                raise PluginError(f"artifact {name!r} is not finite")

    def repeats(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            if self.trained(Path(folder)) != self.digest:
                raise PluginError("a second run with the same seed ended with another encoder")

    def resumes(self) -> None:
        for step in (STEPS - 1, STEPS, STEPS + 1):  # within an epoch, at its end, in the next
            with tempfile.TemporaryDirectory() as folder:
                try:
                    self.trained(Path(folder), stop_at=step)
                except Interrupted:
                    digest = self.trained(Path(folder))
                else:
                    raise PluginError(f"training could not be stopped at step {step}")
            if digest != self.digest:
                raise PluginError(
                    f"stopped at step {step} and resumed, it ended with another encoder: keep all "
                    "state in parameters and buffers of their final shape, and draw from the "
                    "context"
                )


def method_checks(label: str) -> list[Check]:
    """In the order in which they build on one another."""
    trial = _Trial(label)
    return [
        ("settings, card and views resolve", trial.resolve),
        ("the card agrees with the modules", trial.card),
        ("losses are finite and named", trial.trains),
        ("every trainable parameter gets a gradient, momentum parts none", trial.gradients),
        ("artifacts are finite", trial.artifacts),
        ("the same seed gives the same encoder", trial.repeats),
        ("stopped and resumed equals never stopped", trial.resumes),
    ]
