"""Trains methods for two epochs, alone or as one rank of several.

``python train_all.py OUT PRECISION LABEL...`` or the same under torchrun. Rank 0 leaves in OUT, for
every label, the log of every step, the state after the last, and a folder of the run.
"""

import sys
from pathlib import Path

import torch

from sslbench import distributed
from sslbench.cli.planning import planned
from sslbench.data.datasets import open_dataset
from sslbench.nn.bank import whole_state
from sslbench.nn.shared import synchronised
from sslbench.train import loop, readings
from sslbench.train.build import build_method

CPU = torch.device("cpu")
# Statistics over eight images make a training in single precision chaotic within five steps.
CHANGES = {
    "fp64": ["pretrain.batch_size=32", "pretrain.steps=10", "encoder.bn_splits=4"],
    "fp32": ["pretrain.batch_size=128", "encoder.bn_splits=2"],
}


def main(out: Path, labels: list[str], precision: str) -> None:
    torch.set_num_threads(1)
    readings.READ_STEPS = 1  # every step is read and logged
    with distributed.group(CPU):
        changes = [*CHANGES[precision], f"pretrain.precision={precision}"]
        for row in planned("smoke", ",".join(labels), None, changes, None, CPU)[1]:
            if row.config.method in ("random", "supervised"):
                continue
            method = build_method(row.config, row.data, row.label)
            images = open_dataset(row.config.pretrain.dataset, None).images("train")
            folder = out / row.label
            loop.pretrain(row.config, synchronised(method), row.data, images, folder, device=CPU)
            state = whole_state(method)
            if distributed.is_first():
                torch.save(state, folder / "state.pt")
            print(f"rank {distributed.rank()}: {row.label}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[3:], sys.argv[2])
