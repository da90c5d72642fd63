"""A grid of linear probes in one pass, against one probe after the other, ours and torch's own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sslbench.nn.linear import HeadsInTraining, LinearHeads, Rows, Setting, Standardiser
from sslbench.nn.linear_training import CachedBatches, LinearTraining
from sslbench.nn.schedule import Schedule
from sslbench.speed.cases import Setup
from sslbench.speed.measurement import Measurement
from sslbench.speed.timing import Side, alternated, figure, ratio

MOMENTUM = 0.9


@dataclass(frozen=True)
class Data:
    """Cached features in the batches that every probe sees."""

    stream: CachedBatches
    dim: int
    classes: int
    schedule: Schedule

    def standardised(self) -> "Data":
        """The same batches, of features that were standardised all at once."""
        whole = [Rows(rows[:], rows.device) for rows in self.stream.inputs]
        return replace(self, stream=replace(self.stream, inputs=whole))

    def batches(self) -> Iterator[tuple[float, Tensor, Tensor]]:
        """The share of the rate, features and labels of every step."""
        steps = islice(self.stream.batches(0), self.schedule.steps)
        for step, ((x,), y) in enumerate(steps):
            yield self.schedule.share(step), x, y


@dataclass(frozen=True)
class ProbeGrid:
    """Thirteen rates, as the grid of DINOv2 has, with three weight decays each."""

    name: str
    rows: int
    dim: int
    about: str = "a grid of linear probes trained in one pass, against training one by one"
    classes: int = 10
    lrs: Sequence[float] = tuple(0.1 * 1.8**power for power in range(13))
    weight_decays: Sequence[float] = (0.0, 1e-5, 1e-3)
    batch_size: int = 256
    epochs: int = 1
    rounds: int = 5

    @property
    def grid(self) -> list[Setting]:
        return [Setting(*pair) for pair in product(self.lrs, self.weight_decays)]

    def sides(self, setup: Setup) -> list[Side]:
        data = self._data()
        return [
            Side("grid", lambda: one_pass(data, self.grid)),
            Side("single probes", lambda: [one_pass(data, [one]) for one in self.grid]),
            Side("torch, one by one", lambda: all_by_torch(data, self.grid)),
        ]

    def _data(self) -> Data:
        draws = torch.Generator().manual_seed(0)
        x = torch.randn(self.rows, self.dim, generator=draws)
        y = torch.randint(self.classes, (self.rows,), generator=draws)
        rows = Rows(x, torch.device("cpu"), Standardiser.of(x))
        stream = CachedBatches([rows], y, self.batch_size, seed=0)
        return Data(stream, self.dim, self.classes, Schedule(self.epochs * stream.epoch_steps))

    def measure(self, setup: Setup) -> Measurement:
        seconds = alternated(self.sides(setup), self.rounds, setup.report)
        ours, single, plain = seconds.values()
        return Measurement(
            title=f"Linear probes of {len(self.grid)} settings on {self.rows:,} x {self.dim}, "
            f"{self.classes} classes, epochs: {self.epochs}",
            unit="s",
            rounds=self.rounds,
            figures={name: figure(values) for name, values in seconds.items()},
            ratios={"against_single": ratio(single, ours), "against_torch": ratio(plain, ours)},
            note="All see the same batches and end with the same weights, to rounding. torch's are "
            "of features that were standardised once, before the first probe.",
        )


def one_pass(data: Data, settings: Sequence[Setting]) -> LinearHeads:
    """All heads side by side."""
    heads = HeadsInTraining(torch.zeros(data.dim, data.classes), settings, momentum=MOMENTUM)
    training = LinearTraining([heads], data.stream, data.schedule, data.stream.epoch_steps)
    training.run(lambda epoch: None, lambda step: None)
    return heads.heads


def all_by_torch(data: Data, settings: Sequence[Setting]) -> list[nn.Linear]:
    """Probe after probe, on features that are standardised once, as one who does so would."""
    features = data.standardised()
    return [by_torch(features, setting) for setting in settings]


def by_torch(data: Data, setting: Setting) -> nn.Linear:
    """A layer, torch's own loss, gradient and optimiser."""
    layer = nn.Linear(data.dim, data.classes)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    groups = [
        {"params": [layer.weight], "weight_decay": setting.weight_decay},
        {"params": [layer.bias], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, lr=setting.lr, momentum=MOMENTUM)
    for share, x, y in data.batches():
        for group in optimizer.param_groups:
            group["lr"] = setting.lr * share
        optimizer.zero_grad()
        cross_entropy(layer(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return layer


NARROW = ProbeGrid("probe_grid_128", 10_000, 128)
WIDE = ProbeGrid("probe_grid_512", 50_000, 512)
