"""Detection transfer: Faster R-CNN on the encoder, fine-tuned on boxes; COCO's AP and VOC's.

He et al., "Momentum Contrast", CVPR 2020, arXiv:1911.05722, sections 4.2.1 and 4.2.2: the detector
is trained for a fixed number of steps from the encoder's weights, with the same schedule whatever
the encoder, and the last step is measured. Nothing is selected. On VOC the paper's number is the
mean of five such trials.

``ap50``, ``ap`` and ``ap75`` are COCO's. Published numbers on VOC07+12 are Detectron2's, which are
``voc07_ap50``, ``voc07_ap`` and ``voc07_ap75`` here.
"""

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from pydantic import Field, model_validator
from torch import Tensor

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
from sslbench.errors import DataError, PluginError
from sslbench.metrics.box_scores import box_scores, deviation, resampled_box_scores, score_names
from sslbench.metrics.box_table import detection_rows, empty_rows, of_trial, truth_rows, with_areas
from sslbench.nn.detector import Detector, DetectorConfig, Targets, usable_strides
from sslbench.nn.detector_training import DetectorTraining
from sslbench.nn.encoder import Encoder
from sslbench.nn.preflight import preflight
from sslbench.nn.resuming import Steps

Found = dict[str, Tensor]  # detections: items (N), labels (N), scores (N), boxes (N x 4)


def _later(default: Any, **limits: Any) -> Any:
    """A field that came later: what was measured before keeps its identity."""
    return Field(default, json_schema_extra={"since": 2}, **limits)


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
    milestones: tuple[float, ...] = (0.75, 11 / 12)  # of "step", of the run's length; x 0.1 each
    clip: float | None = Field(None, gt=0)  # gradient norm
    trials: int = _later(1, ge=1)  # trainings with seeds of their own, of which the mean counts
    full_summary: bool = _later(False)  # all of COCO's scores: also by size of objects, and recall

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
        passed = sum(step >= round(milestone * self.steps) for milestone in self.milestones)
        return float(self.lr * 0.1**passed)


@register_evaluation("detection")
class Detection(Evaluation):
    """Faster R-CNN, trained for a fixed number of steps; AP of the test images' boxes."""

    Config = DetectionConfig
    metrics: tuple[Metric, ...] = tuple(map(Metric, score_names(full_summary=False)))
    version = 2
    freezes = False  # `detector.trainable: false` is checked below
    trial: ClassVar[Mapping[str, Any]] = {
        "short_sides": [96],
        "long_side": 96,
        "steps": 2,
        "warmup_steps": 1,
        "batch_size": 2,
        "trials": 2,
        "detector": {"candidates": 100, "proposals": 20, "fpn_width": 32, "head_width": 64},
    }

    def __init__(self, config: DetectionConfig) -> None:
        super().__init__(config)
        names = score_names(config.full_summary)
        spreads = map(deviation, names if config.trials > 1 else ())
        self.metrics = (
            *map(Metric, names),
            *(Metric(name, higher_is_better=False) for name in spreads),
        )

    def unsupported(self, encoder: Encoder, dataset: DatasetSpec) -> str | None:
        if dataset.task != "detection":
            return f"detection learns from boxes; {dataset.name} is a {dataset.task} data set"
        try:
            usable_strides(encoder, self.config.detector)
        except ConfigError as error:
            return str(error)
        return None

    def run(
        self, subject: Subject, dataset: LabelledDataset, context: EvaluationContext
    ) -> Outcome:
        config: DetectionConfig = self.config
        truth = _truth(dataset, config)
        box_scores(truth)  # raises now, not after the training, if they are not defined
        both = [*dataset.boxes("train"), *dataset.boxes("test")]
        context.log("boxes_left_out", sum(of.left_out for of in both))
        trials = _Trials(subject.encoder, dataset, config, context)
        devices = [context.device] if context.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):  # put back afterwards
            trials.run()
        tables = [_table(truth, found, config) for found in trials.found]
        if config.trials > 1:
            tables = [of_trial(table, number) for number, table in enumerate(tables)]
        return Outcome(pa.concat_tables(tables).combine_chunks(), chosen=trials.facts)

    @staticmethod
    def score(table: pa.Table) -> Scores:
        return box_scores(table)

    @staticmethod
    def resampler(table: pa.Table) -> Callable[[npt.NDArray[np.int64]], Scores]:
        return resampled_box_scores(table)


class _Trials:
    """Trainings from the same weights, one after another, and what each detector finds.

    Stopped and resumed equals never stopped.
    """

    def __init__(
        self,
        encoder: Encoder,
        dataset: LabelledDataset,
        config: DetectionConfig,
        context: EvaluationContext,
    ) -> None:
        self.encoder, self.config, self.context = encoder, config, context
        self.classes = dataset.spec.levels[0].classes
        sizes = (config.short_sides, config.long_side)
        self.train = BoxImages(
            dataset.images("train"),
            dataset.boxes("train"),
            *sizes,
            keep_ignored=config.learn_ignored,
        )
        if not self.train.shows_boxes:
            raise DataError(f"{dataset.spec.name}, train: not one box to learn from")
        self.test = BoxImages(dataset.images("test"), dataset.boxes("test"), *sizes)
        self.shown = self.test.in_order(config.batch_size)
        self.found: list[Found] = []  # of the trials that are over
        self.facts: Mapping[str, Any] = {}  # what a detector is made of
        self.training: DetectorTraining | None = None
        self.steps = Steps(context, self._state)

    def run(self) -> None:
        saved = self.context.checkpoint.load()
        if saved is not None:
            self.found = list(saved["found"])
        for number in range(len(self.found), self.config.trials):
            self.training = self._training(number)
            if saved is not None and saved["training"] is not None:
                self.training.load(saved["training"])
            saved = None
            self._fit(self.training, number)
            found = self._detections(self.training.detector)
            self.training = None  # before `found` grows: a checkpoint holds a trial once
            self.found.append(found)

    def _state(self) -> dict[str, Any]:
        training = None if self.training is None else self.training.state()
        return {"found": self.found, "training": training}

    def _training(self, number: int) -> DetectorTraining:
        config = self.config
        torch.manual_seed(derive_seed(self._seed(number), "detection", "heads"))
        encoder = copy.deepcopy(self.encoder)  # the next trial starts from the same weights
        detector = Detector(encoder, self.classes, config.detector).to(self.context.device)
        self.facts = preflight(detector, self.encoder)
        return DetectorTraining(detector, config.momentum, config.weight_decay, config.clip)

    def _fit(self, training: DetectorTraining, number: int) -> None:
        config, seed = self.config, self._seed(number)
        training.detector.train()
        order = self.train.drawn(seed, config.steps, config.batch_size, config.flip)
        for examples in self.train.batches(order[training.done :]):
            step = training.done
            images, targets = _on_device(examples, self.context.device)
            step_seed = derive_seed(seed, "detection", "step", step)
            loss = training.step(images, targets, config.rate(step), step_seed)
            if step % 20 == 0:
                self.context.log("detection_loss", loss)
            self._tell(step + 1)
        if not config.detector.trainable:
            self._check_frozen(training.detector)
        self.steps.save()  # the test may take minutes, too

    def _detections(self, detector: Detector) -> Found:
        """In pixels of the images as they are stored."""
        detector.eval()
        parts: list[Found] = []
        for batch, examples in enumerate(self.test.batches(self.shown), start=1):
            images, _ = _on_device(examples, self.context.device)
            for example, found in zip(examples, detector.detect(images), strict=True):
                parts.append(
                    {
                        "items": torch.full_like(found["labels"].cpu(), example.position),
                        "labels": found["labels"].cpu(),
                        "scores": found["scores"].cpu(),
                        "boxes": found["boxes"].cpu() / example.scale,
                    }
                )
            self._tell(self.config.steps + batch)
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _tell(self, done: int) -> None:
        """Of this trial, in batches of training and test."""
        each = self.config.steps + len(self.shown)
        self.steps.tell(len(self.found) * each + done, self.config.trials * each)

    def _check_frozen(self, detector: Detector) -> None:
        after = detector.encoder.state_dict()
        for name, value in self.encoder.state_dict().items():
            if not torch.equal(value, after[name]):
                raise PluginError(f"detection changed {name} of an encoder it was to leave alone")

    def _seed(self, number: int) -> int:
        seed = self.context.seed
        return seed if number == 0 else derive_seed(seed, "detection", "trial", number)


def _on_device(examples: list[Example], device: torch.device) -> tuple[list[Tensor], list[Targets]]:
    images = [example.image.to(device).float() / 255 for example in examples]
    targets: list[Targets] = [
        {"boxes": example.boxes.to(device), "labels": example.labels.to(device)}
        for example in examples
    ]
    return images, targets


def _truth(dataset: LabelledDataset, config: DetectionConfig) -> pa.Table:
    """A row per box of the test images, and one per image without any."""
    boxes = dataset.boxes("test")
    bare = np.flatnonzero([not len(of.classes) for of in boxes])
    table = truth_rows(
        np.repeat(np.arange(len(boxes)), [len(of.classes) for of in boxes]),
        np.concatenate([of.classes for of in boxes]),
        np.concatenate([of.xyxy for of in boxes]),
        np.concatenate([of.ignore for of in boxes]),
    )
    if not config.full_summary:
        return pa.concat_tables([table, empty_rows(bare)])
    table = with_areas(table, np.concatenate([of.areas for of in boxes]))
    return pa.concat_tables([table, with_areas(empty_rows(bare), None)])


def _table(truth: pa.Table, found: Found, config: DetectionConfig) -> pa.Table:
    """A row per truth box and per detection of a trial."""
    items, labels, scores, boxes = (
        found[name].numpy() for name in ("items", "labels", "scores", "boxes")
    )
    table = detection_rows(items, labels, scores, boxes)
    return pa.concat_tables([truth, with_areas(table, None) if config.full_summary else table])
