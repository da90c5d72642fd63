"""The kNN evaluation on features at hand: neighbours and vote, against a peer's."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sslbench.api import Features, Outcome, evaluations
from sslbench.config import build
from sslbench.speed.cases import Setup
from sslbench.speed.measurement import Measurement
from sslbench.speed.timing import Side, alternated, figure, peak_gib, ratio


@dataclass(frozen=True)
class NearestNeighbours:
    """Normal features, whose neighbours are as hard to tell apart as can be."""

    name: str = "knn"
    about: str = "kNN, search and vote, against lightly's knn_predict in its batches of 512"
    bank: int = 50_000
    queries: int = 10_000
    dim: int = 512
    neighbours: int = 200
    classes: int = 10
    temperature: float = 0.1
    batch_size: int = 512  # of the peer, as in its CIFAR-10 benchmark
    rounds: int = 5

    def sides(self, setup: Setup) -> list[Side]:
        bank, labels, queries = self._drawn()
        sides = [Side("sslbench", self._ours(bank, labels, queries))]
        if "lightly" in setup.against:
            sides.append(Side("lightly", self._lightly(bank, labels, queries)))
        return sides

    def _drawn(self) -> tuple[Tensor, Tensor, Tensor]:
        """Bank, its labels, queries; of unit length, which the peer expects."""
        draws = torch.Generator().manual_seed(0)
        bank, queries = (
            normalize(torch.randn(rows, self.dim, generator=draws))
            for rows in (self.bank, self.queries)
        )
        return bank, torch.randint(self.classes, (self.bank,), generator=draws), queries

    def _ours(self, bank: Tensor, labels: Tensor, queries: Tensor) -> Callable[[], Outcome]:
        """The evaluation itself, handed features instead of an encoder and images."""
        cls = evaluations.get("knn")
        settings = {
            "neighbours": [self.neighbours],
            "headline": self.neighbours,
            "temperature": self.temperature,
        }
        evaluation = cls(build(cls.Config, settings, "knn"))
        given = {"train": _features(bank, labels), "test": _features(queries, labels)}
        level = SimpleNamespace(classes=self.classes)
        data: Any = SimpleNamespace(spec=SimpleNamespace(name="drawn", levels=(level,)))
        context: Any = SimpleNamespace(
            device=torch.device("cpu"),
            features=lambda encoder, dataset, split, layer: given[split],
            progress=lambda done, total: None,
        )
        subject: Any = SimpleNamespace(encoder=None)
        return lambda: evaluation.run(subject, data, context)

    def _lightly(self, bank: Tensor, labels: Tensor, queries: Tensor) -> Callable[[], Tensor]:
        from lightly.utils.benchmarking.knn import knn_predict

        def predict() -> Tensor:
            columns = bank.t().contiguous()  # as its validation does once
            parts: list[Tensor] = [
                knn_predict(batch, columns, labels, self.classes, self.neighbours, self.temperature)
                for batch in torch.split(queries, self.batch_size)
            ]
            return torch.cat(parts)

        return predict

    def measure(self, setup: Setup) -> Measurement:
        sides = self.sides(setup)
        seconds = alternated(sides, self.rounds, setup.report)
        ours = seconds["sslbench"]
        return Measurement(
            title=f"kNN of {self.queries:,} in {self.bank:,} x {self.dim}, k = {self.neighbours}",
            unit="s",
            rounds=self.rounds,
            figures={name: figure(values) for name, values in seconds.items()},
            ratios={
                f"against_{name}": ratio(values, ours)
                for name, values in seconds.items()
                if name != "sslbench"
            },
            memory_gib={side.name: peak_gib(self.name, side.name, setup) for side in sides},
            note="Features are given, float32. Both find the same neighbours; ours orders equal "
            "ones by position.",
        )


def _features(x: Tensor, labels: Tensor) -> Features:
    """Rows with as many labels, the first ones."""
    return Features(x, labels[: len(x), None], torch.arange(len(x)))


KNN = NearestNeighbours()
