"""A training step of every method there is, in images per second and in steps of the first."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from sslbench.card import by_family
from sslbench.config import Tree
from sslbench.data.images import HeldImages
from sslbench.data.loaders import ViewLoader, embed_batches
from sslbench.plan import Planned
from sslbench.speed.cases import Setup
from sslbench.speed.measurement import Measurement
from sslbench.speed.rows import CPU, built, images_of, planned
from sslbench.speed.timing import Side, alternated, rate, ratio
from sslbench.suite import DEFAULT_SUITE, load_suite
from sslbench.train.clock import Clock
from sslbench.train.context import TrainingContext
from sslbench.train.loop import EMBED_BATCH
from sslbench.train.step import Step


@dataclass(frozen=True)
class Methods:
    """Steps of the last epoch, in which queues are full and clusters are there; views included."""

    name: str = "methods"
    about: str = "a training step of every method against that of the first, views included"
    labels: tuple[str, ...] = ()  # of methods or variants; none: every method
    changes: tuple[tuple[str, int], ...] = ()  # of the suite's pretrain, for a smaller step
    steps: int = 4  # that are timed together
    rounds: int = 5

    def rows(self) -> list[Planned]:
        """The suite's first method, which the others are compared with, and then those."""
        first = load_suite(DEFAULT_SUITE).methods[0]
        changes: Tree = {"pretrain": dict(self.changes)}
        labels = dict.fromkeys([first, *(self.labels or by_family())])
        return [planned(label, changes) for label in labels]

    def sides(self, setup: Setup) -> list[Side]:
        rows = self.rows()
        images = images_of(rows[0])
        sides = []
        for row in rows:
            setup.report(f"{row.label}: begins its last epoch")
            sides.append(Side(row.label, partial(_times, self.steps, stepped(row, images))))
        return sides

    def measure(self, setup: Setup) -> Measurement:
        seconds = alternated(self.sides(setup), self.rounds, setup.report)
        row, *others = self.rows()
        batch = row.data.batch_size
        precisions = {other.label: other.config.pretrain.precision for other in [row, *others]}
        usual = precisions[row.label]
        unlike = [f"{label} in {used}" for label, used in precisions.items() if used != usual]
        return Measurement(
            title=f"A training step of {len(seconds)} methods at {row.data.image_size} px, "
            f"batch {batch}",
            unit="images/s",
            rounds=self.rounds,
            figures={label: rate(times, self.steps * batch) for label, times in seconds.items()},
            ratios={
                f"{other.label}_in_steps_of_{row.label}": ratio(
                    seconds[other.label], seconds[row.label]
                )
                for other in others
            },
            note=f"Views, loss, gradients and optimiser of the default suite, in {usual}"
            f"{''.join(f', {one}' for one in unlike)}; what a method does between epochs is left "
            "out. Methods see different views: an image counts once however many it has. A ratio "
            "is the time of a step, so above 1 the method is slower.",
        )


def stepped(row: Planned, images: HeldImages) -> Callable[[], dict[str, Tensor]]:
    """What does one more step of a run's last epoch, which has been begun, at each call.

    The method is as it was built, so its losses mean nothing.
    """
    config, data = row.config, row.data
    pretrain = config.pretrain
    method = built(row)
    update = Step(method, pretrain, data, CPU)
    loader = ViewLoader(
        images,
        pretrain.augment,
        pretrain.views,
        pretrain.image_size,
        pretrain.batch_size,
        config.seed,
        device=CPU,
        workers=0,
        path=pretrain.views_path,
    )

    def centre_views() -> Iterator[Tensor]:
        held, size = loader.images, pretrain.image_size
        for batch in embed_batches(held, size, EMBED_BATCH, device=CPU, workers=0):
            yield update.placed(batch)

    context = TrainingContext(config.seed, data, CPU, method, centre_views, update.autocast)
    epoch = data.epochs - 1
    number = epoch * data.steps_per_epoch
    torch.manual_seed(config.seed)  # of what encoders drop by chance
    context.begin("epoch", epoch, number)
    method.on_epoch_start(context)
    method.train()

    def batches() -> Iterator[tuple[tuple[Tensor, ...], Tensor]]:
        while True:  # the epoch again where it is over
            yield from loader.epoch(epoch)

    views = batches()

    def step() -> dict[str, Tensor]:
        seen, index = next(views)
        return update(tuple(seen), index, context, epoch, number, Clock())

    return step


def _times(count: int, work: Callable[[], object]) -> None:
    for _ in range(count):
        work()


METHODS = Methods()
