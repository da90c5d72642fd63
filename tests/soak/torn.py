"""Checkpoints cut short or with a bit flipped: each is detected, and the one before it is taken."""

import logging
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sslbench.train.outcome import run_checkpoints
from tests.soak.count import Count
from tests.soak.small import ended, in_a_child, small_plan, work


def torn(trials: int = 100, seed: int = 0) -> Iterator[Count]:
    """Of a real training's checkpoint."""
    count = Count("damaged checkpoints")
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder, "results")
        plan = small_plan("hcsc", epochs=2)
        if ended(in_a_child(lambda: work(results, plan), Path(folder, "errors.txt"))):
            raise RuntimeError(Path(folder, "errors.txt").read_text())
        config = plan[0].config
        checkpoints = run_checkpoints(results / "runs" / config.id, config.hash)
        whole = checkpoints.path.read_bytes()
        logging.disable(logging.WARNING)  # each says what was wrong
        for trial in range(trials):
            place = chance.randrange(len(whole))
            damaged = bytearray(whole)
            if trial % 2:
                del damaged[place:]
            else:
                damaged[place] ^= 1 << chance.randrange(8)
            checkpoints.path.write_bytes(damaged)
            state = checkpoints.load()
            holds = state is not None and state["step"] == 6  # of the epoch before the last
            count.add(holds, "cut short" if trial % 2 else "a bit flipped", "not detected")
        logging.disable(logging.NOTSET)
    yield count
