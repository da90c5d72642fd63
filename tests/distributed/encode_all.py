"""What becomes of encoding in turn when a rank cannot go on: ``torchrun encode_all.py OUT``.

Rank 0 leaves in OUT what each pass gave: how many rows, and the error that ended it.
"""

import json
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sslbench import distributed
from sslbench.errors import DataError
from sslbench.feature_pass import BATCH, Pass
from sslbench.nn.config import EncoderConfig
from sslbench.nn.encoder import Encoder
from sslbench.run import Preprocessing

CPU = torch.device("cpu")
IMAGES = 5 * BATCH
TINY = EncoderConfig(name="resnet18", options={"layers": [1, 1, 1, 1], "channels": [4, 4, 4, 4]})


@dataclass(frozen=True)
class Damaged:
    """Images of which one cannot be read."""

    place: int
    error: Exception

    def __len__(self) -> int:
        return IMAGES

    def read(self, position: int) -> Tensor:
        if position == self.place:
            raise self.error
        return torch.zeros(3, 16, 16, dtype=torch.uint8)


CASES = {
    "whole": (-1, DataError("")),
    "on rank 0": (2 * BATCH, DataError("2.png cannot be read")),
    "on rank 1": (3 * BATCH + 1, DataError("3.png cannot be read")),
    "of another kind on rank 1": (BATCH, MemoryError("no more")),
    "in the last round": (IMAGES - 1, DataError("last.png cannot be read")),
}


def work(name: str) -> Pass:
    torch.manual_seed(0)
    return Pass(Encoder(TINY), Damaged(*CASES[name]), -1, Preprocessing(image_size=16), 0, CPU, 0)


def main(out: Path) -> None:
    torch.set_num_threads(1)
    found: dict[str, tuple[int, str]] = {}
    with distributed.group(CPU):
        for name in CASES:
            rows = 0
            try:
                for block in work(name).blocks():
                    rows += len(block)
                found[name] = (rows, "")
            except (DataError, RuntimeError) as error:
                found[name] = (rows, f"{type(error).__name__}: {error}")
        with closing(work("whole").blocks()) as blocks:  # given up by rank 0 after the first
            found["given up"] = (len(next(blocks, ())), "")
        assert distributed.of_all("end") == ["end"] * distributed.size()
        if distributed.is_first():
            out.write_text(json.dumps(found))
        else:
            assert all(one == (0, "") for one in found.values()), found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
