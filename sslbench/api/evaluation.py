"""The contract of an evaluation: an encoder and a labelled data set in, a table of outcomes out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from sslbench.config import Settings
from sslbench.data.spec import DatasetSpec
from sslbench.nn.encoder import Encoder

if TYPE_CHECKING:  # methods import this package too, and must not reach labels through it
    from sslbench.data.datasets import LabelledDataset
    from sslbench.data.images import ImageSet
    from sslbench.data.loaders import CentreViews

Split = Literal["train", "fit", "held_out", "test"]  # train = fit (90 %) + held_out (10 %)
Selection = Literal["none", "held_out", "paper"]  # on what tuned values were chosen; paper = test
Scores = dict[str, float]


@dataclass(frozen=True)
class Metric:
    """One number that an evaluation yields."""

    name: str
    unit: str = "%"
    higher_is_better: bool = True
    adjusted: bool = False  # for chance, as AMI: 0 for labels at random, below it for worse


@dataclass(frozen=True)
class Subject:
    """What is measured; a fresh copy for every evaluation."""

    encoder: Encoder
    artifacts: Mapping[str, Tensor]  # Method.artifacts(); empty for a foreign checkpoint


@dataclass(frozen=True)
class Features:
    """Frozen features of a split, in data set order."""

    x: Tensor  # N x D, float32
    y: Tensor  # N x levels, int64, finest first; N x classes for multi-label
    index: Tensor  # N, position of each row in the images of train or test


@dataclass(frozen=True)
class Outcome:
    """All that scores need, and what was selected on held-out training images."""

    table: pa.Table  # a row per test item (detection: per detection and per box)
    chosen: Mapping[str, Any]


class Checkpoint(Protocol):
    """Where a long evaluation keeps its state."""

    def save(self, state: Mapping[str, Any]) -> None: ...

    def load(self) -> dict[str, Any] | None:
        """The last saved state, or None if there is none."""
        ...


class EvaluationContext(Protocol):
    """What the engine lends an evaluation."""

    device: torch.device
    seed: int
    checkpoint: Checkpoint
    workers: int  # processes that decode images
    image_size: int  # sides of what the encoder is shown

    def features(
        self, encoder: Encoder, dataset: "LabelledDataset", split: Split, layer: int = -1
    ) -> Features:
        """Encoded once per (encoder, data, preprocessing, layer), kept on disk and shared, float32.

        ``x`` is mapped from a file that may be larger than the memory: take rows a block at a time,
        and change copies only.
        """
        ...

    def centre_views(self, images: "ImageSet") -> "CentreViews":
        """Images as ``features`` shows them to an encoder, in batches, in their order."""
        ...

    def progress(self, done: int, total: int) -> None: ...

    def log(self, name: str, value: float) -> None: ...


class Evaluation(ABC):
    """A way to measure an encoder."""

    Config: ClassVar[type[Settings]]
    metrics: tuple[Metric, ...]  # the first is the headline; an instance may add what it was set to
    freezes: ClassVar[bool] = True  # the runner checks that the encoder came back unchanged
    version: int = 1  # part of the fingerprint; an instance's may depend on what it was set to
    split: Split = "test"  # whose images are the items; an instance may be set to another
    halves: ClassVar[bool] = False  # repeated items bias the scores: intervals by half-samples
    trial: ClassVar[Mapping[str, Any]] = {}  # settings that make any protocol a matter of seconds

    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    def selection(self) -> Selection:
        """How tuned values are chosen; part of the fingerprint."""
        return "none"

    def unsupported(self, encoder: Encoder, dataset: DatasetSpec) -> str | None:
        """Why this evaluation cannot apply, or None. Shown in the plan and in the table."""
        del encoder, dataset
        return None

    @abstractmethod
    def run(
        self, subject: Subject, dataset: "LabelledDataset", context: EvaluationContext
    ) -> Outcome:
        """Measure. Selects on held-out training images only; scores test images once.

        Raises NotApplicable where the subject lacks what is to be measured, such as prototypes.
        """

    def metrics_of(self, table: pa.Table) -> tuple[Metric, ...]:
        """All that ``score`` gives of a table: ``metrics``, and what the data adds to them.

        Such as a score for each level of its labels. Pure, and the same for every resample.
        """
        del table
        return self.metrics

    @staticmethod
    @abstractmethod
    def score(table: pa.Table) -> Scores:
        """Pure: the engine computes every score, interval and verification through it.

        A table holds a column ``item``: rows of one test image share it, and resampling is over
        items.
        """

    @staticmethod
    def item_values(table: pa.Table) -> Mapping[str, NDArray[np.float64]] | None:
        """Each score as a value per item of which it is the mean, or None if it is no mean.

        In the order of the item numbers. Spares the engine a call of ``score`` per resample.
        """
        del table
        return None

    @staticmethod
    def resampler(table: pa.Table) -> Callable[[NDArray[np.int64]], Scores] | None:
        """``score`` of resamples, out of what does not depend on them; None: there is no short cut.

        The function is handed how often each item occurs, in the order of the item numbers.
        """
        del table
        return None
