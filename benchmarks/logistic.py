"""Logistic regression on frozen features, its one constant chosen without leaks.

Oquab et al., "DINOv2", arXiv:2304.07193, section 7.1 and released code: a multinomial model with an
L2 penalty, solved by L-BFGS in double precision on features of centre views. C weighs the sum of
the losses against half the squared weights; it is the only thing to choose, and a solution that has
converged depends on neither a rate, a seed nor an order of the images. That code leaves features as
they are; by default ours are standardised as the linear probe's, so that a C means the same for
every encoder.

``selection: held_out`` solves for every C on nine tenths of the training images, each from the
solution before, picks by accuracy on the last tenth and solves again on all of them, from the
solution that was picked. ``selection: paper`` reports the best on test of those on all training
images. A solution that the limit of iterations cut short is recorded as one that has not converged.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from sslbench.api import (
    DataError,
    Evaluation,
    EvaluationContext,
    Metric,
    Outcome,
    Scores,
    Selection,
    Settings,
    Split,
    Subject,
    register_evaluation,
)
from sslbench.data.datasets import LabelledDataset
from sslbench.data.spec import DatasetSpec
from sslbench.metrics.accuracy import RANKS, means, prediction_table, top_values
from sslbench.nn.encoder import Encoder
from sslbench.nn.linear import Standardiser

SMALL = 2**30  # N x D x classes, of data that one thread is enough for

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class LogisticConfig(Settings):
    """Which C are compared, and how exactly each is solved for."""

    powers: tuple[float, float] = (-2.0, 4.0)  # C from 10 to the first to 10 to the second
    values: int = Field(9, ge=1)  # of C, evenly spaced in powers; of one the first power
    max_iter: int = Field(1000, ge=1)
    tol: float = Field(1e-6, gt=0)  # largest component of the gradient of the mean loss
    standardise: bool = True
    selection: Literal["held_out", "paper"] = "held_out"
    level: int = Field(0, ge=0)  # of the labels; 0 is the finest

    @model_validator(mode="after")
    def _powers_ascend(self) -> "LogisticConfig":
        if self.powers[0] >= self.powers[1]:
            raise ValueError(f"powers {list(self.powers)}: expected the smaller first")
        return self

    @property
    def grid(self) -> list[float]:
        """From the strongest penalty to the weakest."""
        return [float(c) for c in 10 ** np.linspace(*self.powers, self.values)]


@dataclass(frozen=True)
class Solution:
    """A model's weights, and whether they are at the minimum."""

    weight: Floats  # classes x D; 1 x D where there are two classes
    bias: Floats  # classes; 1
    converged: bool
    iterations: int

    def ranked(self, x: Floats) -> Integers:
        """The places of the best classes among those of the training images, best first."""
        scores = x @ self.weight.T + self.bias
        if len(self.weight) == 1:
            scores = np.hstack([-scores, scores])
        best: Integers = np.argsort(-scores, axis=1, kind="stable")[:, :RANKS]
        return best

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        weight, bias = torch.from_numpy(self.weight), torch.from_numpy(self.bias)
        return {**vars(self), "weight": weight, "bias": bias}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "Solution":
        """What ``state`` gave."""
        arrays = {name: state[name].numpy() for name in ("weight", "bias")}
        return cls(**{**state, **arrays})


@dataclass(frozen=True)
class Part:
    """Standardised or not: features and labels of a split."""

    x: Floats  # N x D
    y: Integers  # N


def solve(part: Part, c: float, config: LogisticConfig, start: Solution | None) -> Solution:
    """The model of a part at a C, sought from another solution on."""
    model = LogisticRegression(C=c, tol=config.tol, max_iter=config.max_iter, warm_start=True)
    if start is not None:
        model.coef_, model.intercept_ = start.weight, start.bias
    # Small products are quickest on one thread, and then no result depends on how many there are.
    small = part.x.size * len(np.unique(part.y)) < SMALL
    with (
        threadpool_limits(1 if small else torch.get_num_threads()),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        model.fit(part.x, part.y)
    cut_short = [issubclass(item.category, ConvergenceWarning) for item in caught]
    for item, known in zip(caught, cut_short, strict=True):
        if not known:
            warnings.warn_explicit(item.message, item.category, item.filename, item.lineno)
    return Solution(model.coef_, model.intercept_, not any(cut_short), int(model.n_iter_.max()))


@dataclass(frozen=True)
class Picked:
    """The best C of a grid, of equals the strongest penalty."""

    place: int
    accuracy: float
    solution: Solution
    cut_short: int  # how many of the grid have not converged


def pick(learn: Part, judge: Part, config: LogisticConfig, context: EvaluationContext) -> Picked:
    """Solves for every C on one part, each from the last, and compares accuracies on another."""
    grid, classes = config.grid, np.unique(learn.y)
    state = context.checkpoint.load() or {"done": 0, "accuracy": -1.0, "cut_short": 0}
    for place in range(state["done"], len(grid)):
        last = Solution.of(state["last"]) if place else None
        found = solve(learn, grid[place], config, last)
        accuracy = float((classes[found.ranked(judge.x)[:, 0]] == judge.y).mean())
        cut_short = state["cut_short"] + (not found.converged)
        state = {**state, "done": place + 1, "last": found.state(), "cut_short": cut_short}
        if accuracy > state["accuracy"]:
            state |= {"place": place, "accuracy": accuracy, "best": found.state()}
        context.checkpoint.save(state)
        context.progress(place + 1, len(grid) + 1)
    best = Solution.of(state["best"])
    return Picked(state["place"], state["accuracy"], best, state["cut_short"])


@register_evaluation("logistic")
class Logistic(Evaluation):
    """The test accuracy of logistic regression."""

    Config = LogisticConfig
    metrics: tuple[Metric, ...] = (Metric("top1"), Metric("top5"))
    trial: ClassVar[Mapping[str, Any]] = {"max_iter": 100}

    @property
    def selection(self) -> Selection:
        chosen: Selection = self.config.selection
        return chosen

    def unsupported(self, encoder: Encoder, dataset: DatasetSpec) -> str | None:
        return dataset.not_classified(self.config.level)

    def run(
        self, subject: Subject, dataset: LabelledDataset, context: EvaluationContext
    ) -> Outcome:
        config: LogisticConfig = self.config
        grid = config.grid

        def parts(*splits: Split) -> list[Part]:
            """The first is learnt from, and alone decides how features are standardised."""
            read = [context.features(subject.encoder, dataset, split) for split in splits]
            scaled = Standardiser.of(read[0].x) if config.standardise else lambda x: x
            return [Part(scaled(r.x).double().numpy(), r.y[:, config.level].numpy()) for r in read]

        train, test = parts("train", "test")
        classes = np.unique(train.y)
        if len(classes) < 2:
            raise DataError(
                f"logistic: all training images of {dataset.spec.name} are of one class, "
                "expected two or more"
            )
        how: dict[str, Any] = {"chosen_on": "nothing"}
        place = 0
        if config.selection == "paper":
            picked = pick(train, test, config, context)
            place, final = picked.place, picked.solution
            how = {"chosen_on": "test", "test_top1": 100 * picked.accuracy}
            how["grid_not_converged"] = picked.cut_short
        else:
            start = None
            if len(grid) > 1:
                learn, judge = parts("fit", "held_out")
                picked = pick(learn, judge, config, context)
                place, start = picked.place, picked.solution
                how = {"chosen_on": "held_out", "held_out_top1": 100 * picked.accuracy}
                how["grid_not_converged"] = picked.cut_short
            final = solve(train, grid[place], config, start)
        context.progress(len(grid) + 1, len(grid) + 1)
        return Outcome(
            prediction_table(test.y, {"ranked": classes[final.ranked(test.x)]}),
            chosen={
                "C": grid[place],
                **how,
                "C_at_edge": len(grid) > 1 and place in (0, len(grid) - 1),
                "converged": final.converged,
                "iterations": final.iterations,
            },
        )

    @staticmethod
    def item_values(table: pa.Table) -> Mapping[str, NDArray[np.float64]]:
        return top_values(table)

    @staticmethod
    def score(table: pa.Table) -> Scores:
        return means(Logistic.item_values(table))
