"""Logistic regression on a few labelled images per class, drawn several times.

MTEB's protocol for classification (Muennighoff et al., arXiv:2210.07316, and its released code): a
multinomial model with an L2 penalty on frozen features of k images of each class, the mean over
several draws, each kept. Draws depend on the seed and on the labels, never on features, so every
encoder sees the same images, and those of a smaller k are among those of a larger one.

C is fixed, for with so few labels there is nothing to choose by: images held out for it would be
labels too. So that one C means the same for every encoder, features are standardised, by statistics
of the drawn images alone: what a few labels bring is not to depend on how many other images there
are. The default was set once, with a SimCLR encoder on training images of `objects` that were not
drawn: of 0.01 to 1,000 it is within a point of the best for 1, 5 and 20 images of a class, where
a C of 1 is up to five points below.

The interval speaks of other test images, given the draws: an item's value is the share of draws
that are right about it. How far other labelled images would move an accuracy is another question,
which the standard deviation over draws answers (``top1_k5_deviation`` in the record's log); that of
their mean is smaller by the root of their number.
"""

import warnings
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor

from sslbench.api import (
    Evaluation,
    EvaluationContext,
    Metric,
    Outcome,
    Scores,
    Settings,
    Subject,
    distinct,
    register_evaluation,
)
from sslbench.data.datasets import LabelledDataset
from sslbench.data.shots import by_class, check_shots, drawn_shots
from sslbench.data.spec import DatasetSpec
from sslbench.metrics.accuracy import RANKS, hits, means, percent, prediction_table
from sslbench.nn.encoder import Encoder
from sslbench.nn.linear import Standardiser
from sslbench.nn.logistic import Part, solve

BLOCK = 4096  # test images at once
RANKED = "ranked"  # columns of the headline's best classes; of all others the first

Shots = Annotated[int, Field(ge=1)]
Integers = NDArray[np.int64]


class FewShotConfig(Settings):
    """How many images of each class are labelled, how often they are drawn, and the classifier."""

    shots: Annotated[tuple[Shots, ...], AfterValidator(distinct)] = Field((1, 5, 20), min_length=1)
    headline: int = 5  # which of them gives top1 and top5
    draws: int = Field(10, ge=1)  # of images, for each number of shots
    c: float = Field(10.0, gt=0)  # weighs the sum of the losses against half the squared weights
    max_iter: int = Field(1000, ge=1)
    tol: float = Field(1e-4, gt=0)  # largest component of the gradient of the mean loss
    standardise: bool = True
    level: int = Field(0, ge=0)  # of the labels; 0 is the finest

    @model_validator(mode="after")
    def _headline_is_measured(self) -> "FewShotConfig":
        if self.headline not in self.shots:
            raise ValueError(f"headline {self.headline} is none of {list(self.shots)}")
        return self


@register_evaluation("few_shot")
class FewShot(Evaluation):
    """The test accuracy of logistic regression on k images per class."""

    Config = FewShotConfig
    metrics: tuple[Metric, ...] = (Metric("top1"), Metric("top5"))
    trial: ClassVar[Mapping[str, Any]] = {"shots": [1, 5], "headline": 5, "draws": 3}

    def __init__(self, config: FewShotConfig) -> None:
        super().__init__(config)
        each = (Metric(f"top1_k{shots}") for shots in sorted(config.shots))
        self.metrics = (*type(self).metrics, *each)

    def unsupported(self, encoder: Encoder, dataset: DatasetSpec) -> str | None:
        return dataset.not_classified(self.config.level)

    def run(
        self, subject: Subject, dataset: LabelledDataset, context: EvaluationContext
    ) -> Outcome:
        config: FewShotConfig = self.config
        train = context.features(subject.encoder, dataset, "train")
        test = context.features(subject.encoder, dataset, "test")
        classes = dataset.spec.levels[config.level].classes
        members = by_class(train.y[:, config.level].numpy(), classes)
        check_shots(
            dataset.spec.name,
            members,
            max(config.shots),
            lambda cls: dataset.class_names(config.level)[cls],
        )
        steps = [(draw, shots) for draw in range(config.draws) for shots in sorted(config.shots)]
        state = context.checkpoint.load() or {"done": 0, "ranked": {}, "not_converged": 0}
        for done, (draw, shots) in enumerate(steps[state["done"] :], state["done"] + 1):
            drawn = drawn_shots(context.seed, draw, members, shots)
            rows = torch.from_numpy(np.concatenate(drawn))
            labels = np.repeat(np.arange(classes), shots)
            ranked, converged = classified(train.x[rows], labels, test.x, config)
            columns = {f"k{shots}_draw{draw}": ranked[:, :1]}
            if shots == config.headline:
                columns[f"{RANKED}_draw{draw}"] = ranked
            state = {
                "done": done,
                "ranked": state["ranked"] | columns,
                "not_converged": state["not_converged"] + (not converged),
            }
            context.checkpoint.save(state)
            context.progress(done, len(steps))
        table = prediction_table(
            test.y[:, config.level].numpy(),
            {name: column.numpy() for name, column in state["ranked"].items()},
        )
        if config.draws > 1:
            for name, scores in _by_draw(table).items():
                context.log(f"{name}_deviation", float(np.std(scores.mean(axis=1), ddof=1)))
        return Outcome(
            table, chosen={"chosen_on": "nothing", "not_converged": state["not_converged"]}
        )

    @staticmethod
    def item_values(table: pa.Table) -> Mapping[str, NDArray[np.float64]]:
        return {name: values.mean(axis=0) for name, values in _by_draw(table).items()}

    @staticmethod
    def score(table: pa.Table) -> Scores:
        return means(FewShot.item_values(table))


def classified(
    x: Tensor, labels: Integers, test: Tensor, config: FewShotConfig
) -> tuple[Tensor, bool]:
    """The best classes of each test image, best first (N x ranks, int32), and whether the solver
    has converged.

    ``x``: n x D, of the classes ``labels`` (n), in which every class occurs; ``test``: N x D, which
    may be larger than the memory. Of equal classes the lower comes first.
    """
    scaled = Standardiser.of(x) if config.standardise else lambda rows: rows
    with warnings.catch_warnings():  # scikit-learn takes as many classes for a regression
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        found = solve(Part(scaled(x).double().numpy(), labels), config.c, config, None)
    ranked = [
        found.ranked(scaled(block).double().numpy(), RANKS).astype(np.int32)
        for block in torch.split(test, BLOCK)
    ]
    return torch.from_numpy(np.concatenate(ranked)), found.converged


def _by_draw(table: pa.Table) -> dict[str, NDArray[np.float64]]:
    """For each score the values (draws x N) of which it is the mean, items by number."""
    columns: dict[str, list[str]] = {}
    for name in table.column_names:
        kind, is_drawn, _ = name.partition("_draw")
        if is_drawn:
            columns.setdefault(kind, []).append(name)

    def values(kind: str, ranks: int) -> NDArray[np.float64]:
        parts = [table.select(["item", "label", name]) for name in columns[kind]]
        pairs = zip(parts, columns[kind], strict=True)
        return np.stack([percent(hits(part, name, ranks)) for part, name in pairs])

    shots = sorted((kind for kind in columns if kind != RANKED), key=lambda kind: int(kind[1:]))
    return {
        **{f"top{ranks}": values(RANKED, ranks) for ranks in (1, 5)},
        **{f"top1_{kind}": values(kind, 1) for kind in shots},
    }
