"""Retrieval by the cosine of frozen features: which images are found, and how early.

Every test image is a query. Its gallery are the training images, as for video clips (Han et al.,
arXiv:2010.09709), or with ``gallery: test`` all other test images, as in metric learning (Oh Song
et al., arXiv:1511.06452). Images of the query's class are relevant; ``level`` says at which level
of the labels. Nothing is learnt and nothing chosen. ``sslbench.metrics.retrieval`` defines the
scores; the headline is the recall at the smallest rank. A query without a relevant image in its
gallery has no average precision: it is left out, and how many were is logged. Intervals are over
queries, the gallery being what it is.

Average precision is of the whole ranking, unless ``depth`` cuts it. The whole ranking costs a
product and a sort of queries x gallery: 50,000 x 50,000 of width 2048 take about ten minutes on one
core (Xeon with AVX-512). However many there are, less than 1 GiB is held beside the features. A
gallery larger than the memory would be read once per block of queries; with ``depth`` it is
searched as for kNN.

The nearest images of every query are kept in the table, as positions in the gallery: the report
shows those that the scores speak of.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import AfterValidator, Field
from torch import Tensor

from sslbench.api import (
    DataError,
    Evaluation,
    EvaluationContext,
    Features,
    Metric,
    Outcome,
    Scores,
    Settings,
    Split,
    Subject,
    distinct,
    register_evaluation,
)
from sslbench.data.datasets import LabelledDataset
from sslbench.data.spec import DatasetSpec
from sslbench.metrics.accuracy import means
from sslbench.metrics.retrieval import (
    average_precision,
    hits,
    metric_names,
    retrieval_table,
    retrieval_values,
)
from sslbench.nn.encoder import Encoder
from sslbench.nn.layers import OUTPUT, no_such_layer
from sslbench.nn.ranking import queries_at_once, rankings
from sslbench.nn.resuming import Steps
from sslbench.nn.search import nearest

KEPT = 10  # neighbours of a query in the table, or the largest rank where that is less

Rank = Annotated[int, Field(ge=1)]


class RetrievalConfig(Settings):
    """Among which images is looked, and how far."""

    gallery: Literal["train", "test"] = "train"  # test: all test images but the query itself
    ranks: Annotated[tuple[Rank, ...], AfterValidator(distinct)] = Field((1, 5, 10), min_length=1)
    depth: int | None = Field(None, ge=1)  # null: average precision is of the whole ranking
    level: int = Field(0, ge=0)  # of the labels; 0 is the finest
    layer: int = Field(OUTPUT, ge=OUTPUT)  # of the encoder; 0 is the finest map


@register_evaluation("retrieval")
class Retrieval(Evaluation):
    """Images of a query's class among those nearest to it."""

    Config = RetrievalConfig
    metrics: tuple[Metric, ...] = (Metric("recall_at_1"), Metric("map"))

    def __init__(self, config: RetrievalConfig) -> None:
        super().__init__(config)
        names = metric_names(sorted(config.ranks), config.depth)
        self.metrics = tuple(Metric(name) for name in names)

    def unsupported(self, encoder: Encoder, dataset: DatasetSpec) -> str | None:
        reason = dataset.not_classified(self.config.level)
        return reason or no_such_layer(encoder, self.config.layer)

    def run(
        self, subject: Subject, dataset: LabelledDataset, context: EvaluationContext
    ) -> Outcome:
        config: RetrievalConfig = self.config

        def read(split: Split) -> Features:
            return context.features(subject.encoder, dataset, split, config.layer)

        test = read("test")
        gallery = test if config.gallery == "test" else read("train")
        given = _Given(config, dataset.spec, test, gallery, context)
        context.log("queries_without_relevant_images", len(test.x) - len(given.queries))
        found = given.searched() if config.depth else given.ranked()
        neighbours = found["neighbours"].numpy()
        table = retrieval_table(
            given.queries.numpy(),
            given.labels.numpy(),
            found["precisions"].numpy(),
            found["hits"].numpy(),
            neighbours,
            gallery.y[:, config.level].numpy()[neighbours],
            ranks=given.ranks,
            depth=config.depth,
        )
        return Outcome(table, chosen={})

    @staticmethod
    def item_values(table: pa.Table) -> Mapping[str, NDArray[np.float64]]:
        return retrieval_values(table)

    @staticmethod
    def score(table: pa.Table) -> Scores:
        return means(Retrieval.item_values(table))


class _Given:
    """Queries and their gallery, and what is found."""

    def __init__(
        self,
        config: RetrievalConfig,
        spec: DatasetSpec,
        test: Features,
        gallery: Features,
        context: EvaluationContext,
    ) -> None:
        """Raises DataError if there is no query with a relevant image, or nothing at some rank."""
        self.context, self.test, self.gallery = context, test.x, gallery.x
        self.ranks, self.depth = sorted(config.ranks), config.depth
        self.among_themselves = config.gallery == "test"
        others = len(gallery.x) - self.among_themselves
        needed = max(*self.ranks, config.depth or 0)
        if needed > others:
            raise DataError(
                f"retrieval: a query has {others} images of {spec.name} ({config.gallery}) to "
                f"find, fewer than {needed}. Set smaller settings.ranks and settings.depth"
            )
        self.needed, self.kept = needed, min(KEPT, self.ranks[-1])
        of_test, self.of_gallery = (part.y[:, config.level] for part in (test, gallery))
        each = torch.bincount(self.of_gallery, minlength=spec.levels[config.level].classes)
        relevant = each[of_test] - int(self.among_themselves)  # of each test image, without itself
        self.queries = relevant.nonzero()[:, 0]  # positions of those that have any
        if not len(self.queries):
            raise DataError(
                f"retrieval: no test image of {spec.name} has another of its class among those of "
                f"{config.gallery}, so there is nothing to find"
            )
        self.labels, self.relevant = of_test[self.queries], relevant[self.queries]

    def ranked(self) -> dict[str, Tensor]:
        """What is found in the whole ranking of every query. Stopped and resumed is never stopped.

        ``precisions`` (N, average ones), ``hits`` (N x ranks) and ``neighbours`` (N x kept), on the
        CPU.
        """
        count = len(self.queries)
        state = self.context.checkpoint.load() or {
            "done": 0,
            "precisions": torch.zeros(count, dtype=torch.float64),
            "hits": torch.zeros(count, len(self.ranks), dtype=torch.int64),
            "neighbours": torch.zeros(count, self.kept, dtype=torch.int64),
        }
        steps = Steps(self.context, lambda: state)
        rows = queries_at_once(len(self.gallery))
        while state["done"] < count:
            block = self.queries[state["done"] : state["done"] + rows]
            own = block if self.among_themselves else None
            done = state["done"]
            for order in rankings(self.test[block], self.gallery, self.context.device, own):
                part = slice(done, done + len(order))
                for name, found in self._judged(order, part).items():
                    state[name][part] = found
                done = part.stop
            state["done"] = done  # at the ends of blocks alone, which a resumed one must share
            steps.tell(done, count)
        return state

    def searched(self) -> dict[str, Tensor]:
        """The same of the nearest alone, as many as are needed."""
        queries = self.test if len(self.queries) == len(self.test) else self.test[self.queries]
        _, found = nearest(
            queries,
            self.gallery,
            self.needed + self.among_themselves,
            self.context.device,
            on_progress=self.context.progress,
        )
        if self.among_themselves:
            others = found != self.queries.to(found.device)[:, None]
            # A query may lie behind as many images that equal it.
            others[others.all(dim=1), -1] = False
            found = found[others].view(len(queries), self.needed)
        return self._judged(found, slice(None))

    def _judged(self, order: Tensor, part: slice) -> dict[str, Tensor]:
        """What is kept of some queries' rankings, n x as many as there are."""
        order = order.cpu()
        relevant = (self.of_gallery[order] == self.labels[part, None]).numpy()
        precisions = average_precision(relevant, self.relevant[part].numpy(), self.depth)
        return {
            "precisions": torch.from_numpy(precisions),
            "hits": torch.from_numpy(hits(relevant, self.ranks)),
            "neighbours": order[:, : self.kept],
        }
