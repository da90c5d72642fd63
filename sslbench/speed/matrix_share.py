"""How much of the machine's own matrix-product rate a training step reaches, views included."""

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from sslbench.speed.cases import Setup
from sslbench.speed.measurement import Measurement
from sslbench.speed.rows import images_of, planned, trained
from sslbench.speed.timing import Side, alternated, figure
from sslbench.train.build import build_encoder


@dataclass(frozen=True)
class MatrixShare:
    """An epoch of SimCLR against a square product in the same precision."""

    name: str = "matrix_share"
    about: str = "the share of a plain matrix product's rate that SimCLR's training reaches"
    side: int = 2048
    products: int = 60
    steps: int | None = None  # of the epoch; None: all
    rounds: int = 5

    def sides(self, setup: Setup) -> list[Side]:
        trial = {"epochs": 1} | ({} if self.steps is None else {"steps": self.steps})
        row = planned("simclr", {"pretrain": trial})
        images = images_of(row)
        dtype = torch.bfloat16 if row.config.pretrain.precision == "bf16" else torch.float32
        left, right = torch.randn(2, self.side, self.side).to(dtype).unbind()

        def multiply() -> None:
            for _ in range(self.products):
                left @ right

        return [Side("training", lambda: trained(row, images)), Side("matrix product", multiply)]

    def measure(self, setup: Setup) -> Measurement:
        trial = {"epochs": 1} | ({} if self.steps is None else {"steps": self.steps})
        row = planned("simclr", {"pretrain": trial})
        seconds = alternated(self.sides(setup), self.rounds, setup.report)
        pair = pair_operations(row.data.image_size)
        work = pair * row.data.steps * row.data.batch_size / 1e9
        product = 2 * self.side**3 * self.products / 1e9
        rates = {
            "training": [work / one for one in seconds["training"]],
            "matrix product": [product / one for one in seconds["matrix product"]],
        }
        shares = [a / b for a, b in zip(*rates.values(), strict=True)]
        return Measurement(
            title=f"Share of the machine's {row.config.pretrain.precision} matrix product that "
            f"training SimCLR reaches, {pair / 1e6:.0f} MFLOP a pair",
            unit="GFLOP/s",
            rounds=self.rounds,
            figures={name: figure(values) for name, values in rates.items()},
            ratios={"share": figure(shares)},
            note="Counted: the convolutions of the encoder, forward and backward, of two views. "
            f"The product is of {self.side} x {self.side} matrices.",
        )


def pair_operations(image_size: int) -> int:
    """Operations of the encoder for two views, forward and backward, counted by torch."""
    encoder = build_encoder(planned("simclr", {}).config).train()
    views = torch.rand(2, 3, image_size, image_size)
    with FlopCounterMode(display=False) as counter:
        encoder(views).sum().backward()
    return int(counter.get_total_flops())


SHARE = MatrixShare()
