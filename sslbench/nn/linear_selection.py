"""Which of many linear classifiers is measured: chosen on held-out images, or on test as papers do.

On held-out images all candidates are trained on the rest of the training images in one pass, at
the last epoch the best is chosen, and that one is trained anew on all training images. On test, all
are trained on all training images, and the best of every epoch counts: the answer to a question
that only the test images' labels can decide.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from torch import Tensor

from sslbench.nn.blocks import BlockInput
from sslbench.nn.linear import (
    HeadsInTraining,
    LinearHeads,
    Rows,
    Setting,
    Standardiser,
    best_setting,
)
from sslbench.nn.linear_training import LinearTraining, Stream
from sslbench.nn.resuming import Lender, Steps
from sslbench.nn.schedule import Schedule

Split = Literal["train", "fit", "held_out", "test"]
Standardisers = Sequence[Standardiser | None]  # of each input


class Source(Protocol):
    """Where features come from."""

    def features(self, split: Split, inputs: Sequence[BlockInput]) -> tuple[list[Tensor], Tensor]:
        """Of centre views, on the CPU: N x D of each input, and labels (N)."""
        ...

    def stream(self, split: Split, inputs: Sequence[BlockInput]) -> tuple[Stream, Standardisers]:
        """What heads are trained on, and what every feature goes through."""
        ...

    def first_weights(self, given: BlockInput, dim: int) -> Tensor:
        """What every head on an input starts from: D x classes, on the device."""
        ...


@dataclass(frozen=True)
class Regime:
    """The candidates, and how all of them are trained."""

    inputs: Sequence[BlockInput]
    grid: Sequence[Setting]  # on every input
    epochs: int
    epoch_steps: int | None  # None: the stream's own
    momentum: float
    nesterov: bool
    schedule: Literal["cosine", "step"]
    milestones: tuple[float, ...]


@dataclass(frozen=True)
class Winner:
    """The head that is measured."""

    given: BlockInput
    place: int  # of its setting in the grid
    head: LinearHeads  # this one alone
    test: Rows  # features of the test images, as it takes them
    labels: Tensor  # of the test images, N
    how: Mapping[str, Any]  # it was chosen


class Choice:
    """The trainings that a winner comes out of. Stopped and resumed equals never stopped."""

    def __init__(self, regime: Regime, source: Source, lender: Lender) -> None:
        self.regime, self.source, self.lender = regime, source, lender
        self.candidates = [(given, s) for given in regime.inputs for s in regime.grid]
        self.settings = [setting for _, setting in self.candidates]
        self.state = lender.checkpoint.load() or {}
        self.test, self.labels = source.features("test", regime.inputs)
        self.dims = {x: rows.shape[1] for x, rows in zip(regime.inputs, self.test, strict=True)}

    def on_held_out(self) -> Winner:
        """The best candidate, trained anew. A single one is trained once: nothing is chosen.

        Raises Diverged if no candidate's weights stayed finite, or the winner's did not.
        """
        best, how = 0, {"epoch": self.regime.epochs, "chosen_on": "nothing"}
        passes = min(2, len(self.candidates))
        if passes == 2:
            if "held_out" not in self.state:
                training, standardise = self._training("fit", self.candidates)
                self._finish(training, passes=2)
                x, labels = self.source.features("held_out", self.regime.inputs)
                found = training.accuracy(self._rows(x, standardise), labels)
                self.state = {"held_out": best_setting(self.settings, found)}
                self.lender.checkpoint.save(self.state)
            best, accuracy = self.state["held_out"]
            how = {**how, "chosen_on": "held_out", "held_out_top1": 100 * accuracy}
        training, standardise = self._training("train", [self.candidates[best]])
        self._finish(training, passes=passes, before=passes - 1)
        return self._winner(best, training.head(0), standardise[0], how)

    def on_test(self) -> Winner:
        """The best candidate of the best epoch; of equals the first epoch's, as papers keep it.

        Raises Diverged if no candidate's weights were ever finite.
        """
        training, standardise = self._training("train", self.candidates)
        rows = self._rows(self.test, standardise)

        def compare(epoch: int) -> None:
            found = training.accuracy(rows, self.labels)
            if found.max().item() > self.state.get("accuracy", -1.0):
                best, accuracy = best_setting(self.settings, found)
                head = training.head(best)
                self.state = {"best": best, "accuracy": accuracy, "epoch": epoch}
                self.state |= {"weight": head.weight, "bias": head.bias}

        self._finish(training, on_epoch=compare)
        if "best" not in self.state:
            best_setting(self.settings, training.accuracy(rows, self.labels))  # raises Diverged
        best, device = self.state["best"], self.lender.device
        head = LinearHeads(self.state["weight"].to(device), self.state["bias"].to(device))
        how = {
            "epoch": self.state["epoch"],
            "chosen_on": "test",
            "test_top1": 100 * self.state["accuracy"],
        }
        return self._winner(best, head, standardise[best // len(self.regime.grid)], how)

    def _winner(
        self, best: int, head: LinearHeads, standardise: Standardiser | None, how: dict[str, Any]
    ) -> Winner:
        number, place = divmod(best, len(self.regime.grid))
        test = Rows(self.test[number], self.lender.device, standardise)
        return Winner(self.regime.inputs[number], place, head, test, self.labels, how)

    def _rows(self, x: Sequence[Tensor], standardise: Standardisers) -> list[Rows]:
        pairs = zip(x, standardise, strict=True)
        return [Rows(part, self.lender.device, of_input) for part, of_input in pairs]

    def _training(
        self, split: Split, candidates: Sequence[tuple[BlockInput, Setting]]
    ) -> tuple[LinearTraining, Standardisers]:
        """Of all candidates in one pass."""
        regime = self.regime
        grids: dict[BlockInput, list[Setting]] = {}
        for given, setting in candidates:
            grids.setdefault(given, []).append(setting)
        stream, standardise = self.source.stream(split, list(grids))
        groups = [
            HeadsInTraining(
                self.source.first_weights(given, self.dims[given]),
                grid,
                momentum=regime.momentum,
                nesterov=regime.nesterov,
            )
            for given, grid in grids.items()
        ]
        epoch_steps = regime.epoch_steps or stream.epoch_steps
        schedule = Schedule(regime.epochs * epoch_steps, regime.schedule, regime.milestones)
        return LinearTraining(groups, stream, schedule, epoch_steps), standardise

    def _finish(
        self,
        training: LinearTraining,
        *,
        passes: int = 1,
        before: int = 0,
        on_epoch: Callable[[int], None] = lambda epoch: None,
    ) -> None:
        """Trains, from the checkpoint on if there is one; ``before`` of the ``passes`` are done."""
        if "training" in self.state:
            training.load(self.state.pop("training"))
        steps = training.schedule.steps
        kept = Steps(self.lender, lambda: {**self.state, "training": training.state()})

        def on_step(done: int) -> None:
            kept.tell(before * steps + done, passes * steps)

        training.run(on_epoch, on_step)
