"""What papers say of their own methods: curated CSV files, each number with its source."""

import csv
from pathlib import Path
from typing import Literal

from sslbench.config import Settings
from sslbench.errors import StoreError

FIELDS = (
    "method",
    "variant",
    "title",
    "encoder",
    "data",
    "epochs",
    "batch",
    "crops",
    "evaluation",
    "protocol",
    "metric",
    "value",
    "origin",
    "source",
    "note",
)
NEEDED = ("method", "title", "evaluation", "metric", "origin", "source")
ORIGINS = ("original", "official repository", "quoted", "reproduction")  # the best first


class Quoted(Settings):
    """One number out of a publication; a text is empty and a number None where it is not stated."""

    method: str
    variant: str  # "" is the method's default here, else the variant's name or the paper's words
    title: str
    encoder: str  # by timm's name, else as printed
    data: str  # that it was pre-trained on, by the catalogue's name where it has one
    epochs: int | None
    batch: int | None
    crops: str  # the views: 2x224, 2x224+6x96, single-crop, multi-crop
    evaluation: str  # PLUGIN/DATASET, such as linear_probe/imagenet
    protocol: str  # the protocol here that it follows, such as knn@dino, or the paper's words
    metric: str
    value: float
    text: str  # the value as it was printed
    origin: Literal["original", "official repository", "quoted", "reproduction"]
    source: str
    note: str

    @property
    def label(self) -> str:
        return f"{self.method}@{self.variant}" if self.variant else self.method

    @property
    def footnote(self) -> str:
        facts = [self.encoder] if self.encoder else []
        facts += [f"pre-trained on {self.data}"] if self.data not in ("", "imagenet") else []
        facts += [f"{self.epochs} epochs"] if self.epochs else []
        facts += [f"batch {self.batch}"] if self.batch else []
        return f"{self.source}: {', '.join([*facts, *self.remarks])}".removesuffix(": ")

    @property
    def remarks(self) -> list[str]:
        """What else there is to say of the number: views, protocol, who took it down."""
        first_hand = [self.origin] if self.origin == "official repository" else []
        return [part for part in (self.crops, self.protocol, *first_hand, self.note) if part]


def read_reported(folder: Path | None) -> list[Quoted]:
    """Every number of every CSV file in a folder; none if there is no such folder.

    Raises StoreError, with file and line, for a wrong column, a number that is none or a row
    without a source.
    """
    if folder is None or not folder.is_dir():
        return []
    return [quoted for path in sorted(folder.glob("*.csv")) for quoted in _read(path)]


def _read(path: Path) -> list[Quoted]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if tuple(reader.fieldnames or ()) != FIELDS:
                raise StoreError(
                    f"{path}: columns are {reader.fieldnames}, expected {list(FIELDS)}"
                )
            return [_quoted(row, f"{path}:{reader.line_num}") for row in reader]
    except csv.Error as error:
        raise StoreError(f"{path}:{reader.line_num}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path}: cannot be read as UTF-8 text ({error})") from error


def _quoted(row: dict[str, str], where: str) -> Quoted:
    if None in row or None in row.values():
        raise StoreError(f"{where}: expected {len(FIELDS)} fields")
    empty = [field for field in NEEDED if not row[field]]
    if empty:
        raise StoreError(f"{where}: {', '.join(empty)} is empty; a quoted number needs a source")
    if row["origin"] not in ORIGINS:
        raise StoreError(f"{where}: origin is {row['origin']!r}, expected {', '.join(ORIGINS)}")
    try:
        return Quoted.model_validate(
            {
                **row,
                "epochs": int(row["epochs"]) if row["epochs"] else None,
                "batch": int(row["batch"]) if row["batch"] else None,
                "value": float(row["value"]),
                "text": row["value"],
            }
        )
    except ValueError as error:
        raise StoreError(f"{where}: {error}") from error
