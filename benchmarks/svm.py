"""Linear SVMs on frozen features, one per class, scored by VOC's mean average precision.

Goyal et al., "Scaling and Benchmarking Self-Supervised Visual Representation Learning", ICCV 2019,
arXiv:1905.01235, section 6.1, and the released code of PCL (arXiv:2005.04966), whose values are the
defaults: features of centre views divided by their length, LIBLINEAR's dual solver with a squared
hinge, and an image that shows the class weighs twice as much. AP is the area under the interpolated
curve (``sslbench.metrics.multilabel``), which is not scikit-learn's ``average_precision_score``.

With one C nothing is chosen. Several are compared class by class by stratified cross-validation on
the training images, as VISSL does, by scikit-learn's average precision; of equals the smallest is
taken. PCL's code, given several, keeps the best on test; that is not offered.

With ``shots`` each SVM sees few images: for every class that many that show it, all put together,
so that one which is drawn for two classes is there twice, and those of other classes are what it is
told from. Draws depend on the seed and the labels alone; a smaller number of images is among a
larger one, where PCL draws each anew. The score is the mean over draws.

Departure: images that show a class only as difficult are left out when its SVM is trained, as they
are when it is tested. PCL's code takes them for images without it in both, VISSL's in training.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor

from sslbench.api import (
    DataError,
    Evaluation,
    EvaluationContext,
    Features,
    Metric,
    Outcome,
    Scores,
    Selection,
    Settings,
    Subject,
    distinct,
    register_evaluation,
)
from sslbench.data.datasets import LabelledDataset
from sslbench.data.random import derive_seed
from sslbench.data.shots import check_shots, drawn_shots
from sslbench.data.spec import DatasetSpec
from sslbench.metrics.rankings import (
    mean_average_precisions,
    ranking_table,
    resampled_mean_average_precisions,
)
from sslbench.nn.encoder import Encoder
from sslbench.nn.linear_svm import Examples, Solver, decisions, over_length

BLOCK = 4096  # test images at once
ALL = "scores"  # the column of SVMs that saw all training images

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class SVMConfig(Settings):
    """What every class's SVM is trained on, and with which C."""

    cs: Annotated[tuple[Annotated[float, Field(gt=0)], ...], AfterValidator(distinct)] = Field(
        (0.5,), min_length=1
    )
    folds: int = Field(3, ge=2)  # of the training images, where several C are compared
    positive_weight: float = Field(2.0, gt=0)  # of images that show the class; all others 1
    max_iter: int = Field(2000, ge=1)
    tol: float = Field(1e-4, gt=0)
    # Images of each class; none: all training images. Most of them is the headline.
    shots: Annotated[tuple[Annotated[int, Field(ge=1)], ...], AfterValidator(distinct)] = ()
    draws: int = Field(1, ge=1)  # of training images, for each number of shots

    @model_validator(mode="after")
    def _fields_go_together(self) -> "SVMConfig":
        if self.draws > 1 and not self.shots:
            raise ValueError("draws: several need shots; without them all training images are used")
        if len(self.cs) > 1 and self.shots:
            raise ValueError("shots: set one C; few images are too few to choose one by")
        return self


@dataclass(frozen=True)
class Part:
    """Training images of one SVM per class; images may be there twice."""

    column: str  # of the table
    x: Floats  # N x D, of length 1 or 0
    labels: Integers  # N x C


@register_evaluation("svm")
class SVM(Evaluation):
    """The mean average precision of one linear SVM per class."""

    Config = SVMConfig
    metrics: tuple[Metric, ...] = (Metric("map"),)

    def __init__(self, config: SVMConfig) -> None:
        super().__init__(config)
        if config.shots:
            most_first = sorted(config.shots, reverse=True)
            self.metrics = tuple(Metric(f"map_k{shots}") for shots in most_first)

    @property
    def selection(self) -> Selection:
        return "held_out" if len(self.config.cs) > 1 else "none"

    def unsupported(self, encoder: Encoder, dataset: DatasetSpec) -> str | None:
        if dataset.task != "multilabel":
            return (
                f"it ranks images that may show several classes; {dataset.name} is a "
                f"{dataset.task} data set"
            )
        return None

    def run(
        self, subject: Subject, dataset: LabelledDataset, context: EvaluationContext
    ) -> Outcome:
        config: SVMConfig = self.config
        train = context.features(subject.encoder, dataset, "train")
        test = context.features(subject.encoder, dataset, "test")
        for split, features in (("train", train), ("test", test)):
            _check_classes(dataset, split, features)
        parts = self._parts(train, dataset, context.seed)
        trained = _Training(config, parts, dataset, context).all()
        table = ranking_table(test.y.numpy(), _scores(test.x, parts, trained.weight))
        for name, maps in _by_metric(mean_average_precisions(table)).items():
            if len(maps) > 1:  # how far other training images would move it
                context.log(f"{name}_deviation", float(np.std(maps, ddof=1)))
        several = len(config.cs) > 1
        return Outcome(
            table,
            chosen={
                "C": trained.chosen if several else config.cs[0],
                "chosen_on": f"{config.folds} folds of train" if several else "nothing",
                "not_converged": trained.not_converged,
            },
        )

    def _parts(self, train: Features, dataset: LabelledDataset, seed: int) -> list[Part]:
        """In memory and in double precision, which LIBLINEAR needs: 82 MB at VOC07's size."""
        config: SVMConfig = self.config
        labels = train.y.numpy()
        if not config.shots:
            return [Part(ALL, over_length(train.x).numpy(), labels)]
        members = [np.flatnonzero(column == 1) for column in labels.T]
        check_shots(
            dataset.spec.name, members, max(config.shots), lambda c: dataset.class_names()[c]
        )
        found = []
        for draw in range(config.draws):
            drawn = drawn_shots(seed, draw, members, max(config.shots))
            for shots in sorted(config.shots):
                rows = np.concatenate([positions[:shots] for positions in drawn])
                x = over_length(train.x[torch.from_numpy(rows)]).numpy()
                found.append(Part(f"k{shots}_draw{draw}", x, labels[rows]))
        return found

    @staticmethod
    def score(table: pa.Table) -> Scores:
        """A class that no image of the table shows has no AP and no part in the mean: ``run``
        refuses such a test set, so that this happens to resamples only."""
        return _means(mean_average_precisions(table))

    @staticmethod
    def resampler(table: pa.Table) -> Callable[[Integers], Scores]:
        resampled = resampled_mean_average_precisions(table)
        return lambda times: _means(resampled(times))


@dataclass(frozen=True)
class _Trained:
    weight: Floats  # parts x C x (D + 1), the bias last
    chosen: list[float]  # C of each class
    not_converged: int  # SVMs, those of cross-validation not counted


class _Training:
    """All SVMs, class by class; what is done is kept, so that it can be stopped."""

    def __init__(
        self,
        config: SVMConfig,
        parts: list[Part],
        dataset: LabelledDataset,
        context: EvaluationContext,
    ) -> None:
        self.config, self.parts, self.dataset, self.context = config, parts, dataset, context
        self.cs = sorted(config.cs)
        seed = derive_seed(context.seed, "svm") % 2**31
        self.solver = Solver(config.positive_weight, config.max_iter, config.tol, seed)
        self.classes = parts[0].labels.shape[1]
        self.each = len(parts) + (len(self.cs) if len(self.cs) > 1 else 0)  # steps of a class

    def all(self) -> _Trained:
        dim = self.parts[0].x.shape[1]
        state = self.context.checkpoint.load() or {
            "weight": torch.zeros(len(self.parts), self.classes, dim + 1, dtype=torch.float64),
            "chosen": [],
            "validated": [],
            "not_converged": 0,
        }
        for number in range(len(state["chosen"]), self.classes):
            c = self._choose(number, state)
            for place, part in enumerate(self.parts):
                weight, converged = self.solver.solve(self._examples(part, number), c)
                state["weight"][place, number] = torch.from_numpy(weight)
                state["not_converged"] += not converged
            state |= {"chosen": [*state["chosen"], c], "validated": []}
            self._done(state)
        return _Trained(state["weight"].numpy(), state["chosen"], state["not_converged"])

    def _choose(self, number: int, state: dict[str, Any]) -> float:
        """The C of a class."""
        if len(self.cs) == 1:
            return self.cs[0]
        given = self._examples(self.parts[0], number)
        sides = int(given.shown.sum()), int((~given.shown).sum())
        if min(sides) < self.config.folds:
            raise DataError(
                f"svm: {self._name(number)!r}: {sides[0]} training images show it and {sides[1]} "
                f"do not, fewer than {self.config.folds} folds. Set a single C in settings.cs"
            )
        for c in self.cs[len(state["validated"]) :]:
            found = self.solver.validated(given, c, self.config.folds)
            state["validated"] = [*state["validated"], found]
            self._done(state)
        return self.cs[int(np.argmax(state["validated"]))]

    def _examples(self, part: Part, number: int) -> Examples:
        """Raises DataError if there is nothing to tell a class from."""
        given = Examples.of(part.x, part.labels[:, number])
        if given.shown.all() or not given.shown.any():
            every = "all" if given.shown.all() else "none"
            raise DataError(
                f"svm: {every} of the {len(given.shown)} training images show "
                f"{self._name(number)!r}, expected some with and some without it"
                + (f" ({part.column}). Set more shots" if self.config.shots else "")
            )
        return given

    def _done(self, state: dict[str, Any]) -> None:
        self.context.checkpoint.save(state)
        done = len(state["chosen"]) * self.each + len(state["validated"])
        self.context.progress(done, self.classes * self.each)

    def _name(self, number: int) -> str:
        return self.dataset.class_names()[number]


def _check_classes(dataset: LabelledDataset, split: str, features: Features) -> None:
    """Raises DataError that names a class which no image of a split shows: it has no AP."""
    absent = torch.nonzero(~(features.y == 1).any(dim=0)).flatten().tolist()
    if absent:
        raise DataError(
            f"svm: no image of {dataset.spec.name}, {split}, shows "
            f"{dataset.class_names()[absent[0]]!r} other than as difficult ({len(absent)} classes "
            "are so); it has no average precision. Add images, or take it out of the data"
        )


def _scores(x: Tensor, parts: list[Part], weight: Floats) -> dict[str, NDArray[np.float32]]:
    """Of all test images (N x D, maybe larger than the memory) by every SVM: N x C each."""
    flat = weight.reshape(-1, weight.shape[2])
    found = np.concatenate([decisions(block, flat) for block in torch.split(x, BLOCK)])
    by_part = found.reshape(len(x), *weight.shape[:2])
    return {part.column: by_part[:, place] for place, part in enumerate(parts)}


def _by_metric(maps: Mapping[str, float]) -> dict[str, list[float]]:
    """The mAP of each part's ranking, by the metric of which it is one draw."""
    found: dict[str, list[float]] = {}
    for column, value in maps.items():
        shots = column.partition("_draw")[0]
        found.setdefault("map" if column == ALL else f"map_{shots}", []).append(value)
    return found


def _means(maps: Mapping[str, float]) -> Scores:
    return {name: float(np.mean(each)) for name, each in _by_metric(maps).items()}
