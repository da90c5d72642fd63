"""What a speed measurement is on disk: figures by side, ratios by name, where they were made."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from sslbench.config import Settings
from sslbench.disk import write_text
from sslbench.errors import StoreError
from sslbench.store import Environment

SCHEMA: Literal[1] = 1


class Figure(Settings):
    """A median over rounds, with the smallest and the largest of them."""

    median: float
    low: float
    high: float


class Measurement(Settings):
    """One case, all of whose sides were measured in one run, taking turns."""

    title: str  # what was done, with its sizes
    unit: str  # of the figures: s, pairs/s, views/s, images/s, GFLOP/s
    rounds: int = Field(ge=1)
    figures: dict[str, Figure]  # by side, ours first
    ratios: dict[str, Figure]  # by name; ``against_X`` above 1 means that we are faster than X
    memory_gib: dict[str, float] = {}  # by side, the peak above what was there before the work
    parts: dict[str, dict[str, float]] = {}  # of each side's median, where it was taken apart
    note: str = ""  # what a reader must know


class SpeedRecord(Settings):
    """All cases of one call, on one machine."""

    schema_version: Literal[1] = SCHEMA
    command: str
    created: str
    environment: Environment
    peers: dict[str, str] = {}  # version by name
    measurements: dict[str, Measurement]


def read_record(path: Path) -> SpeedRecord:
    """Raises StoreError if the file is not one of these."""
    try:
        return SpeedRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: no record of a speed measurement ({error})") from error


def write_record(path: Path, record: SpeedRecord) -> None:
    """As JSON. The folder is made. Raises UnwritableError."""
    write_text(path, record.model_dump_json(indent=1) + "\n")
