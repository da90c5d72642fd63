"""Detection transfer: Faster R-CNN on the encoder, fine-tuned on boxes, scored by COCO's AP.

He et al., "Momentum Contrast", CVPR 2020, arXiv:1911.05722, sections 4.2.1 and 4.2.2: the detector
is trained for a fixed number of steps from the encoder's weights, with the same schedule whatever
the encoder, and the last step is measured. Nothing is selected.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from sslbench.api import (
    ConfigError,
    Evaluation,
    EvaluationContext,
    Metric,
    Outcome,
    Scores,
    Settings,
    Subject,
    register_evaluation,
)
from sslbench.data.box_images import BoxImages, Example
from sslbench.data.datasets import LabelledDataset
from sslbench.data.random import derive_seed
from sslbench.data.spec import DatasetSpec
from sslbench.errors import Diverged, PluginError
from sslbench.metrics.ap import average_precision, detection_rows, resampled_precision, truth_rows
from sslbench.nn.detector import LEAST_LEVELS, Detector, DetectorConfig, Targets, strides
from sslbench.nn.encoder import Encoder

SAVE_EVERY = 60.0  # seconds between checkpoints


class DetectionConfig(Settings):
    """The defaults are Detectron2's for a batch of 16 photographs."""

    detector: DetectorConfig = DetectorConfig()
    short_sides: tuple[int, ...] = Field((800,), min_length=1)  # training draws one, the last tests
    long_side: int = Field(1333, ge=8)  # at most
    flip: bool = True
    learn_ignored: bool = False  # whether training uses boxes that never count in a test
    steps: int = Field(24000, ge=1)
    batch_size: int = Field(16, ge=1)
    lr: float = Field(0.02, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0)  # of all but norms
    warmup_steps: int = Field(1000, ge=0)
    schedule: Literal["step", "cosine"] = "step"
    milestones: tuple[float, ...] = (
        0.75,
        11 / 12,
    )  # of "step", as fractions of the run; x 0.1 each
    clip: float | None = Field(None, gt=0)  # gradient norm

    @model_validator(mode="after")
    def _the_schedule_fits(self) -> "DetectionConfig":
        if self.warmup_steps >= self.steps:
            raise ValueError(
                f"{self.warmup_steps} warm-up steps do not fit into {self.steps} steps"
            )
        if min(self.short_sides) < 8 or max(self.short_sides) > self.long_side:
            raise ValueError(f"short_sides lie between 8 and long_side, {self.long_side}")
        return self

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warmup_steps:
            return self.lr * (step + 1) / self.warmup_steps
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * step / self.steps))
        passed = sum(step >= milestone * self.steps for milestone in self.milestones)
        return float(self.lr * 0.1**passed)


@register_evaluation("detection")
class Detection(Evaluation):
    """Faster R-CNN, trained for a fixed number of steps; AP of the test images' boxes."""

    Config = DetectionConfig
    metrics = (Metric("ap50"), Metric("ap"), Metric("ap75"))
    freezes = False  # `detector.trainable: false` is checked below
    trial: ClassVar[Mapping[str, Any]] = {
        "short_sides": [96],
        "long_side": 96,
        "steps": 2,
        "warmup_steps": 1,
        "batch_size": 2,
        "detector": {"candidates": 100, "proposals": 50},
    }

    def unsupported(self, encoder: Encoder, dataset: DatasetSpec) -> str | None:
        if dataset.task != "detection":
            return f"detection learns from boxes; {dataset.name} is a {dataset.task} data set"
        finest = self.config.detector.finest_stride
        try:
            usable = [stride for stride in strides(encoder) if stride >= finest]
        except ConfigError as error:
            return str(error)
        if len(usable) < LEAST_LEVELS:
            return (
                f"detection needs maps of {LEAST_LEVELS} strides from {finest} on; "
                f"{encoder.config.name} has {len(usable)}"
            )
        return None

    def run(
        self, subject: Subject, dataset: LabelledDataset, context: EvaluationContext
    ) -> Outcome:
        config: DetectionConfig = self.config
        classes = dataset.spec.levels[0].classes
        before = {name: value.clone() for name, value in subject.encoder.state_dict().items()}
        with _own_randomness(context.device):
            torch.manual_seed(derive_seed(context.seed, "detection", "heads"))
            detector = Detector(subject.encoder, classes, config.detector).to(context.device)
            train = BoxImages(
                dataset.images("train"),
                dataset.boxes("train"),
                config.short_sides,
                config.long_side,
                keep_ignored=config.learn_ignored,
            )
            _fit(detector, train, config, context)
        if not config.detector.trainable:
            for name, value in subject.encoder.state_dict().items():
                if not torch.equal(value.cpu(), before[name].cpu()):
                    raise PluginError(
                        f"detection changed {name} of an encoder it was to leave alone"
                    )
        return Outcome(_measured(detector, dataset, config, context), chosen={})

    @staticmethod
    def score(table: pa.Table) -> Scores:
        return average_precision(table)

    @staticmethod
    def resampler(table: pa.Table) -> Callable[[npt.NDArray[np.int64]], Scores]:
        return resampled_precision(table)


def _fit(
    detector: Detector, train: BoxImages, config: DetectionConfig, context: EvaluationContext
) -> None:
    optimizer = torch.optim.SGD(_groups(detector, config), lr=config.lr, momentum=config.momentum)
    first = 0
    state = context.checkpoint.load()
    if state is not None:
        detector.load_state_dict(state["detector"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    detector.train()
    order = train.drawn(context.seed, config.steps, config.batch_size, config.flip)
    saved = time.monotonic()
    for step, examples in enumerate(train.batches(order[first:]), start=first):
        # torchvision samples anchors and regions from the global generator.
        torch.manual_seed(derive_seed(context.seed, "detection", "step", step))
        for group in optimizer.param_groups:
            group["lr"] = config.rate(step)
        losses = detector.losses(*_on_device(examples, context.device))
        loss = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(loss):
            terms = ", ".join(f"{name} {value.item():g}" for name, value in losses.items())
            raise Diverged(
                f"detection: the loss of step {step} is not finite ({terms}). Lower lr "
                f"(now {config.lr:g}), set clip, or lengthen warmup_steps "
                f"(now {config.warmup_steps})"
            )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if config.clip is not None:
            nn.utils.clip_grad_norm_(detector.parameters(), config.clip)
        optimizer.step()
        context.progress(step + 1, config.steps)
        if step % 20 == 0:
            context.log("detection_loss", loss.item())
        if time.monotonic() - saved > SAVE_EVERY:
            context.checkpoint.save(
                {
                    "step": step + 1,
                    "detector": detector.state_dict(),
                    "optimizer": optimizer.state_dict(),
                }
            )
            saved = time.monotonic()


def _groups(detector: Detector, config: DetectionConfig) -> list[dict[str, Any]]:
    norms = {
        parameter
        for module in detector.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm | nn.GroupNorm | nn.LayerNorm)
        for parameter in module.parameters()
    }
    trained = [p for p in detector.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p not in norms], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p in norms], "weight_decay": 0.0},
    ]


def _on_device(examples: list[Example], device: torch.device) -> tuple[list[Tensor], list[Targets]]:
    images = [example.image.to(device).float() / 255 for example in examples]
    targets: list[Targets] = [
        {"boxes": example.boxes.to(device), "labels": example.labels.to(device)}
        for example in examples
    ]
    return images, targets


def _measured(
    detector: Detector,
    dataset: LabelledDataset,
    config: DetectionConfig,
    context: EvaluationContext,
) -> pa.Table:
    """A row per truth box and per detection, in pixels of the image as it is stored."""
    detector.eval()
    boxes = dataset.boxes("test")
    test = BoxImages(dataset.images("test"), boxes, config.short_sides, config.long_side)
    items = np.repeat(np.arange(len(boxes)), [len(found.classes) for found in boxes])
    truth = truth_rows(
        items,
        np.concatenate([found.classes for found in boxes]),
        np.concatenate([found.xyxy for found in boxes]),
        np.concatenate([found.ignore for found in boxes]),
    )
    parts = [truth]
    for examples in test.batches(test.in_order(config.batch_size)):
        images, _ = _on_device(examples, context.device)
        for example, found in zip(examples, detector.detect(images), strict=True):
            count = len(found["scores"])
            parts.append(
                detection_rows(
                    np.full(count, example.position),
                    found["labels"].cpu().numpy(),
                    found["scores"].cpu().numpy(),
                    (found["boxes"].cpu() / example.scale).numpy(),
                )
            )
    return pa.concat_tables(parts).combine_chunks()


@contextmanager
def _own_randomness(device: torch.device) -> Iterator[None]:
    """The global generators are put back afterwards."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
