"""What papers say of their own methods: curated CSV files, each number with its source."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from sslbench.config import Settings
from sslbench.errors import StoreError

FIELDS = (
    "method",
    "variant",
    "encoder",
    "epochs",
    "batch",
    "evaluation",
    "metric",
    "value",
    "source",
    "note",
)


class Quoted(Settings):
    """One number out of a paper."""

    method: str
    variant: str  # "" is the method's default here, else the variant's name or the paper's words
    encoder: str  # by timm's name
    epochs: int | None  # None where the source does not say
    batch: int | None
    evaluation: str  # PLUGIN/DATASET, such as linear_probe/imagenet
    metric: str
    value: float
    text: str  # the value as it was printed
    source: str
    note: str

    @property
    def label(self) -> str:
        return f"{self.method}@{self.variant}" if self.variant else self.method

    @property
    def footnote(self) -> str:
        facts = [self.encoder]
        facts += [f"{self.epochs} epochs"] if self.epochs else []
        facts += [f"batch {self.batch}"] if self.batch else []
        facts += [self.note] if self.note else []
        return f"{self.source}: {', '.join(facts)}"


def read_reported(folder: Path | None) -> list[Quoted]:
    """Every number of every CSV file in a folder; none if there is no such folder.

    Raises StoreError, with file and line, for a wrong column, a number that is none or a row
    without a source.
    """
    if folder is None or not folder.is_dir():
        return []
    return [quoted for path in sorted(folder.glob("*.csv")) for quoted in _read(path)]


def _read(path: Path) -> list[Quoted]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        if tuple(reader.fieldnames or ()) != FIELDS:
            raise StoreError(f"{path}: columns are {reader.fieldnames}, expected {list(FIELDS)}")
        return [_quoted(row, f"{path}:{reader.line_num}") for row in reader]


def _quoted(row: dict[str, str], where: str) -> Quoted:
    if None in row or None in row.values():
        raise StoreError(f"{where}: expected {len(FIELDS)} fields")
    empty = [f for f in ("method", "encoder", "evaluation", "metric", "source") if not row[f]]
    if empty:
        raise StoreError(f"{where}: {', '.join(empty)} is empty; a quoted number needs a source")
    try:
        return Quoted(
            **{f: row[f] for f in FIELDS if f not in ("epochs", "batch", "value")},
            epochs=int(row["epochs"]) if row["epochs"] else None,
            batch=int(row["batch"]) if row["batch"] else None,
            value=float(row["value"]),
            text=row["value"],
        )
    except ValueError as error:
        raise StoreError(f"{where}: {error}") from error


def nearest_quoted(
    quoted: Sequence[Quoted], label: str, evaluation: str, metric: str, encoder: str, epochs: int
) -> Quoted | None:
    """What is quoted of a row for one score, or None.

    Of several numbers the one with the run's encoder, then with the nearest number of epochs, then
    the first of its file.
    """
    fitting = [
        q for q in quoted if (q.label, q.evaluation, q.metric) == (label, evaluation, metric)
    ]

    def distance(q: Quoted) -> tuple[bool, float]:
        other_encoder = bool(encoder) and q.encoder != encoder
        if not q.epochs or epochs <= 0:
            return other_encoder, math.inf if epochs > 0 else 0.0
        return other_encoder, abs(math.log(q.epochs / epochs))

    return min(fitting, key=distance, default=None)
