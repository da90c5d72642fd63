"""What a method's prototypes are worth downstream, where they are otherwise thrown away.

Guo et al., HCSC, arXiv:2202.00455, name it as their limit that prototypes are not used after
pre-training. Here an image is described by its cosines with all prototypes of all levels, in the
space of the head that they lie in, and a linear classifier is put on that. Three descriptions are
measured beside it, of the same images and with the same protocol:

- ``features``: the encoder's features, as everywhere else;
- ``kmeans``: cosines with centroids of k-means in the head's space, as many as there are
  prototypes: whether it needs the prototypes that were learnt, or any would do;
- ``feature_kmeans``: the same of the features, which needs no head either.

Each is measured with all labels, by logistic regression whose C is chosen on held-out training
images, and with a few per class, in draws that are the same for all methods and descriptions, at a
fixed C. k-means sees the training images of the data set measured on, prototypes those of
pre-training: on other data k-means is at home and they are not. Of more than ``train_images`` a
part is drawn by seed, for a solver holds them in memory.

Intervals speak of other test images, given the draws of the few.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from sslbench.api import (
    DataError,
    Evaluation,
    EvaluationContext,
    Metric,
    Outcome,
    Scores,
    Selection,
    Subject,
    register_evaluation,
)
from sslbench.data.datasets import LabelledDataset
from sslbench.data.draws import permutation
from sslbench.data.random import derive_seed
from sslbench.data.shots import by_class, check_shots, drawn_shots
from sslbench.data.spec import DatasetSpec
from sslbench.metrics.accuracy import hits, means, percent, prediction_table
from sslbench.nn.descriptions import DESCRIPTIONS, Described, Rows
from sslbench.nn.encoder import Encoder
from sslbench.nn.linear import Standardiser
from sslbench.nn.logistic import GridSettings, Part, directions, pick, solve
from sslbench.nn.prototypes import Prototypes

SEEDS = 2**31  # of faiss
DRAW = re.compile(r"(\w+)_k(\d+)_(\d+)")  # a column: description, shots, draw

Integers = NDArray[np.int64]


class PrototypesConfig(GridSettings):
    """How the classifiers are learnt, the same for every description."""

    powers: tuple[float, float] = (-1.0, 4.0)
    values: int = Field(6, ge=2)
    shots: int = Field(5, ge=1)  # labelled images per class
    draws: int = Field(5, ge=1)  # of them
    shot_c: float = Field(10.0, gt=0)  # C of the few
    train_images: int = Field(50_000, ge=2)  # at most
    level: int = Field(0, ge=0)  # of the labels; 0 is the finest


@register_evaluation("prototypes")
class PrototypeProbe(Evaluation):
    """Top-1 of classifiers on cosines with prototypes, and on what they compete with."""

    Config = PrototypesConfig
    metrics: tuple[Metric, ...] = (Metric("top1"),)
    trial: ClassVar[Mapping[str, Any]] = {"max_iter": 100, "values": 3, "draws": 2}

    def __init__(self, config: PrototypesConfig) -> None:
        super().__init__(config)
        kinds = ("top1", f"top1_k{config.shots}")
        self.metrics = tuple(Metric(_named(kind, name)) for kind in kinds for name in DESCRIPTIONS)

    @property
    def selection(self) -> Selection:
        return "held_out"

    def unsupported(self, encoder: Encoder, dataset: DatasetSpec) -> str | None:
        return dataset.not_classified(self.config.level)

    def run(
        self, subject: Subject, dataset: LabelledDataset, context: EvaluationContext
    ) -> Outcome:
        config: PrototypesConfig = self.config
        prototypes = Prototypes.of(subject.artifacts)
        train = context.features(subject.encoder, dataset, "train")
        test = context.features(subject.encoder, dataset, "test")
        kept = _some(len(train.x), config.train_images, context.seed)
        held_out = context.features(subject.encoder, dataset, "held_out").index
        probe = _Probe(
            config,
            train.y[kept, config.level].numpy(),
            np.isin(kept.numpy(), held_out.numpy()),
            dataset,
            context,
        )
        images = Described(
            prototypes,
            train.x[kept],
            test.x,
            lambda level: derive_seed(context.seed, "prototypes", level) % SEEDS,
        )
        for name in DESCRIPTIONS:
            probe.measure(name, images.by)
        ranked = {name: classes.numpy()[:, None] for name, classes in probe.answers.items()}
        labels = test.y[:, config.level].numpy()
        return Outcome(prediction_table(labels, ranked), chosen=probe.chosen)

    @staticmethod
    def item_values(table: pa.Table) -> Mapping[str, NDArray[np.float64]]:
        found = {_named("top1", name): percent(hits(table, name, 1)) for name in DESCRIPTIONS}
        draws: dict[str, list[NDArray[np.float64]]] = {}
        for column in sorted(table.column_names):
            of = DRAW.fullmatch(column)
            if of is not None:
                name = _named(f"top1_k{of[2]}", of[1])
                draws.setdefault(name, []).append(percent(hits(table, column, 1)))
        return found | {name: np.mean(values, axis=0) for name, values in draws.items()}

    @staticmethod
    def score(table: pa.Table) -> Scores:
        return means(PrototypeProbe.item_values(table))


def _named(kind: str, name: str) -> str:
    return kind if name == DESCRIPTIONS[0] else f"{kind}_{name}"


def _some(count: int, most: int, seed: int) -> Tensor:
    """All positions, or as many as allowed by seed, in their order."""
    if count <= most:
        return torch.arange(count)
    drawn = permutation(seed, "prototypes/images", count)[:most]
    return torch.from_numpy(np.sort(drawn))


class _Probe:
    """Learns and answers by one description after the other; goes on where it was stopped."""

    def __init__(
        self,
        config: PrototypesConfig,
        labels: Integers,
        held_out: NDArray[np.bool_],
        dataset: LabelledDataset,
        context: EvaluationContext,
    ) -> None:
        self.config, self.labels, self.held_out, self.context = config, labels, held_out, context
        if len(np.unique(labels)) < 2:
            raise DataError(
                f"prototypes: all training images of {dataset.spec.name} are of one class, "
                "expected two or more"
            )
        members = by_class(labels, dataset.spec.levels[config.level].classes)
        check_shots(
            dataset.spec.name,
            members,
            config.shots,
            lambda cls: dataset.class_names(config.level)[cls],
        )
        self.draws = [
            np.concatenate(drawn_shots(context.seed, draw, members, config.shots))
            for draw in range(config.draws)
        ]
        self.total = len(DESCRIPTIONS) * (config.values + 1 + config.draws)
        self.state = context.checkpoint.load() or {"answers": {}, "chosen": {}, "pick": None}

    @property
    def answers(self) -> Mapping[str, Tensor]:
        """The class of each test image (N), by column of the table."""
        found: Mapping[str, Tensor] = self.state["answers"]
        return found

    @property
    def chosen(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.state["chosen"]
        return found

    def measure(self, name: str, described: Callable[[str], Rows]) -> None:
        config = self.config
        columns = [name, *(f"{name}_k{config.shots}_{draw}" for draw in range(config.draws))]
        if all(column in self.answers for column in columns):
            return
        rows = described(name)
        scaled = Standardiser.of(rows[0])
        train, test = (scaled(part).double().numpy() for part in rows)
        basis = directions(train)  # cosines of D numbers have rank D, however many there are
        train, test = train @ basis, test @ basis
        if name not in self.answers:
            self._with_all_labels(name, train, test)
        for column, drawn in zip(columns[1:], self.draws, strict=True):
            if column not in self.answers:
                few = Part(train[drawn], self.labels[drawn])
                found = solve(few, config.shot_c, config, None)
                self._answer(column, np.unique(few.y)[found.ranked(test, 1)[:, 0]])

    def _with_all_labels(self, name: str, train: NDArray[Any], test: NDArray[Any]) -> None:
        config, labels = self.config, self.labels
        learn, judge = (Part(train[rows], labels[rows]) for rows in (~self.held_out, self.held_out))

        def after(state: dict[str, Any]) -> None:
            self.state["pick"] = state
            self._told()

        picked = pick(learn, judge, config.grid, config, self.state["pick"], after)
        c = config.grid[picked.place]
        final = solve(Part(train, labels), c, config, picked.solution)
        self.state["pick"] = None
        self.state["chosen"] |= {
            f"C_{name}": c,
            f"held_out_top1_{name}": 100 * picked.accuracy,
            f"C_at_edge_{name}": picked.place in (0, config.values - 1),
            f"converged_{name}": final.converged,
        }
        self._answer(name, np.unique(labels)[final.ranked(test, 1)[:, 0]])

    def _answer(self, column: str, classes: Integers) -> None:
        self.state["answers"][column] = torch.from_numpy(classes)
        self._told()

    def _told(self) -> None:
        """Keeps the state and tells how much is done of all."""
        self.context.checkpoint.save(self.state)
        whole = sum(name in self.answers for name in DESCRIPTIONS)
        done = len(self.answers) + self.config.values * whole
        done += self.state["pick"]["done"] if self.state["pick"] else 0
        self.context.progress(done, self.total)
