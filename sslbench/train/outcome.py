"""What a training tells while it goes on, and what it leaves."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sslbench.checkpoints import Checkpoints
from sslbench.health.verdict import Health

CHECKPOINT = "checkpoint.pt"
FORMAT = 4  # of what it keeps; 3 had no steps that wait to be logged


@dataclass(frozen=True)
class Progress:
    """Where the loop is, after each step."""

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float | None


@dataclass(frozen=True)
class Trained:
    """What a finished pre-training leaves beside its files."""

    encoder_digest: str
    parameters: int
    steps: int
    images_seen: int
    seconds: float
    peak_memory_gib: float
    losses: dict[str, float]
    health: Health


def run_checkpoints(folder: Path, run_hash: str) -> Checkpoints:
    """Those of a run, which lie in its folder. What is kept says of which data it is."""
    return Checkpoints(folder / CHECKPOINT, {"format": FORMAT, "run": run_hash})


def learnt_from(state: Mapping[str, Any], data_digest: str) -> bool:
    """Whether a state is of these data; older ones do not say, and are taken to be."""
    return bool(state.get("data", data_digest) == data_digest)
