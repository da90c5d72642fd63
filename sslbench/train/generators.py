"""The random generators that a training may draw from outside its own keyed draws.

Views, order and a method's draws are keyed by (seed, epoch, step). What is left is what encoders do
by themselves (dropout, drop path) and what a method of a user's own asks of Python or numpy.
"""

import random
from io import BytesIO
from typing import Any

import numpy as np
import torch

from sslbench import distributed
from sslbench.data.random import derive_seed


def seed_all(seed: int) -> None:
    """Of torch on every device, numpy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def begin(seed: int) -> None:
    """Of a run with this seed. Ranks encode other images of one batch, so each draws its own."""
    number = distributed.rank()
    seed_all(derive_seed(seed, "training", *([number] if number else [])))


def states(device: torch.device) -> dict[str, Any]:
    """Where they all stand, on every rank: plain numbers and tensors, for rank 0's checkpoint."""
    numpy: Any = np.random.get_state()
    found: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": (torch.from_numpy(numpy[1].copy()), *numpy[2:]),
        "python": random.getstate(),
    }
    if device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state(device)
    own = BytesIO()
    torch.save(found, own)  # told as they are, unsigned integers of numpy's would not arrive
    others = distributed.of_all(own.getvalue())[1:]
    return {**found, "others": [torch.load(BytesIO(one), weights_only=True) for one in others]}


def restore(found: dict[str, Any], device: torch.device, seed: int) -> None:
    """Goes on from ``states``, on this device or on another; a rank that was not there begins."""
    if number := distributed.rank():
        others = found.get("others", [])
        if number > len(others):
            begin(seed)
            return
        found = others[number - 1]
    torch.set_rng_state(found["torch"].cpu())
    keys, *rest = found["numpy"]
    np.random.set_state(("MT19937", keys.cpu().numpy(), *rest))
    random.setstate(found["python"])
    if device.type == "cuda" and "cuda" in found:
        torch.cuda.set_rng_state(found["cuda"].cpu(), device)
