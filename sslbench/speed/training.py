"""Training: an epoch of ours, all included, against an epoch of lightly's documented loop."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sslbench.config import Tree
from sslbench.data.images import HeldImages
from sslbench.plan import Planned
from sslbench.speed.cases import Setup
from sslbench.speed.lightly_loop import Loop
from sslbench.speed.measurement import Measurement
from sslbench.speed.rows import images_of, planned, trained
from sslbench.speed.timing import Side, alternated, rate, ratio
from sslbench.train.build import build_encoder

RATE = 0.06  # of lightly's examples


@dataclass(frozen=True)
class Training:
    """Pairs of views per second."""

    method: str
    steps: int | None = None  # of the epoch; None: all
    rounds: int = 5

    @property
    def name(self) -> str:
        return f"training_{self.method}"

    @property
    def about(self) -> str:
        return f"an epoch of {self.method}, all included, against the loop that peers document"

    def _row(self, precision: str) -> Planned:
        trial: Tree = {"epochs": 1, "precision": precision}
        if self.steps is not None:
            trial["steps"] = self.steps
        return planned(self.method, {"pretrain": trial})

    def sides(self, setup: Setup) -> list[Side]:
        default = self._row("auto")
        images = images_of(default)
        sides = [Side("sslbench", lambda: trained(default, images))]
        if "lightly" not in setup.against:
            return sides
        fast = default.config.pretrain.precision == "bf16"
        if fast:
            plain = self._row("fp32")
            sides.append(Side("sslbench fp32", lambda: trained(plain, images)))
        sides.append(Side("lightly", self._lightly(default, images, fast=False)))
        if fast:
            sides.append(Side("lightly bf16", self._lightly(default, images, fast=True)))
        return sides

    def _lightly(self, row: Planned, images: HeldImages, fast: bool) -> Callable[[], None]:
        pretraining = row.config.pretrain
        seen = row.data.steps * pretraining.batch_size
        loop = Loop(
            encoder=build_encoder(row.config),
            pixels=images.pixels[:seen],
            recipe=pretraining.augment,
            batch_size=pretraining.batch_size,
            size=pretraining.image_size,
            lr=RATE,
            fast=fast,
        )
        epochs: Iterator[None]
        if self.method == "moco":
            epochs = loop.moco(row.config.params["queue_size"])
        else:
            epochs = loop.simclr()
        return lambda: next(epochs)

    def measure(self, setup: Setup) -> Measurement:
        row = self._row("auto")
        pairs = row.data.steps * row.data.batch_size
        sides = self.sides(setup)
        seconds = alternated(sides, self.rounds, setup.report)
        compared = {
            "against_lightly": ("lightly", "sslbench"),
            "against_lightly_both_fp32": ("lightly", "sslbench fp32"),
            "against_lightly_both_bf16": ("lightly bf16", "sslbench"),
        }
        return Measurement(
            title=f"Training, {row.title}: {pairs:,} pairs at {row.data.image_size} px, "
            f"batch {row.data.batch_size}, ResNet-10",
            unit="pairs/s",
            rounds=self.rounds,
            figures={name: rate(times, pairs) for name, times in seconds.items()},
            ratios={
                name: ratio(seconds[theirs], seconds[ours])
                for name, (theirs, ours) in compared.items()
                if theirs in seconds and ours in seconds
            },
            note=f"sslbench: `pretrain` as it is, in {row.config.pretrain.precision}, with health, "
            "log and checkpoint. lightly: the loop of its documentation, in fp32, with as many "
            "workers as cores; lightly bf16: the same under autocast, channels last.",
        )


SIMCLR = Training("simclr")
MOCO = Training("moco")
