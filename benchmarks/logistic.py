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

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from sslbench.api import (
    DataError,
    Evaluation,
    EvaluationContext,
    Metric,
    Outcome,
    Scores,
    Selection,
    Split,
    Subject,
    register_evaluation,
)
from sslbench.data.datasets import LabelledDataset
from sslbench.data.spec import DatasetSpec
from sslbench.metrics.accuracy import RANKS, means, prediction_table, top_values
from sslbench.nn.encoder import Encoder
from sslbench.nn.layers import OUTPUT, no_such_layer
from sslbench.nn.linear import Standardiser
from sslbench.nn.logistic import GridSettings, Part, Picked, pick, solve


class LogisticConfig(GridSettings):
    """What is learnt from, and how C is chosen."""

    standardise: bool = True
    selection: Literal["held_out", "paper"] = "held_out"
    level: int = Field(0, ge=0)  # of the labels; 0 is the finest
    layer: int = Field(OUTPUT, ge=OUTPUT, json_schema_extra={"since": 2})  # 0 is the finest map


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
        reason = dataset.not_classified(self.config.level)
        return reason or no_such_layer(encoder, self.config.layer)

    def run(
        self, subject: Subject, dataset: LabelledDataset, context: EvaluationContext
    ) -> Outcome:
        config: LogisticConfig = self.config
        grid = config.grid

        def parts(*splits: Split) -> list[Part]:
            """The first is learnt from, and alone decides how features are standardised."""
            layer = config.layer
            read = [context.features(subject.encoder, dataset, split, layer) for split in splits]
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
            picked = self._picked(train, test, context)
            place, final = picked.place, picked.solution
            how = {"chosen_on": "test", "test_top1": 100 * picked.accuracy}
            how["grid_not_converged"] = picked.cut_short
        else:
            start = None
            if len(grid) > 1:
                learn, judge = parts("fit", "held_out")
                picked = self._picked(learn, judge, context)
                place, start = picked.place, picked.solution
                how = {"chosen_on": "held_out", "held_out_top1": 100 * picked.accuracy}
                how["grid_not_converged"] = picked.cut_short
            final = solve(train, grid[place], config, start)
        context.progress(len(grid) + 1, len(grid) + 1)
        return Outcome(
            prediction_table(test.y, {"ranked": classes[final.ranked(test.x, RANKS)]}),
            chosen={
                "C": grid[place],
                **how,
                "C_at_edge": len(grid) > 1 and place in (0, len(grid) - 1),
                "converged": final.converged,
                "iterations": final.iterations,
            },
        )

    def _picked(self, learn: Part, judge: Part, context: EvaluationContext) -> Picked:
        grid = self.config.grid

        def after(state: dict[str, Any]) -> None:
            context.checkpoint.save(state)
            context.progress(state["done"], len(grid) + 1)

        return pick(learn, judge, grid, self.config, context.checkpoint.load(), after)

    @staticmethod
    def item_values(table: pa.Table) -> Mapping[str, NDArray[np.float64]]:
        return top_values(table)

    @staticmethod
    def score(table: pa.Table) -> Scores:
        return means(Logistic.item_values(table))
