"""What a training tells while it goes on, and what it leaves."""

from dataclasses import dataclass
from pathlib import Path

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
    """Those of a run, which lie in its folder."""
    return Checkpoints(folder / CHECKPOINT, {"format": FORMAT, "run": run_hash})
