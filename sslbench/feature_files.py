"""Frozen features on disk: one safetensors file each, whose header says what it holds.

Imports no torch: files are listed and removed by their headers alone.
"""

import json
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from sslbench.config import Settings, build
from sslbench.errors import ConfigError, StoreError

SCHEMA_VERSION = 1
TENSOR = "features"  # the name of the one tensor
ALIGNMENT = 64  # bytes, for whoever computes on the mapped rows
ABANDONED = 3600.0  # seconds without a new row: whoever wrote that file is gone

Rows = NDArray[np.float32]


class FeatureHeader(Settings):
    """What a file holds, and of what."""

    schema_version: int = SCHEMA_VERSION
    key: str  # the file's own name: the fingerprint of all that the features depend on
    encoder_digest: str
    encoder: str
    dataset: str
    split: str
    layer: int
    preprocessing: dict[str, Any]
    rows: int
    dim: int
    sslbench: str
    created: str


@dataclass(frozen=True)
class FeatureFile:
    """A file of the folder, damaged or not."""

    path: Path
    size: int  # bytes
    used: float  # when it was last read or written, seconds since 1970
    header: FeatureHeader | None  # None if damaged or unfinished
    fault: str = ""

    @property
    def is_unfinished(self) -> bool:
        return self.path.suffix == ".tmp"


def note_path(unfinished: Path) -> Path:
    """Beside a file in the making: how far it is certain."""
    return unfinished.with_suffix(".json")


def feature_path(folder: Path, key: str) -> Path:
    return folder / f"{key}.safetensors"


def read_header(path: Path) -> FeatureHeader:
    """What a file holds. Raises StoreError if it is damaged, cut short or not what it is named."""
    try:
        with safe_open(path, "np") as file:
            plain, names = file.metadata() or {}, list(file.keys())
            tensor = file.get_slice(TENSOR) if names == [TENSOR] else None
            found = (tensor.get_dtype(), tensor.get_shape()) if tensor is not None else None
    except (SafetensorError, OSError) as error:
        raise _damaged(path, str(error)) from error
    if plain.get("schema_version") != str(SCHEMA_VERSION):
        raise _damaged(
            path,
            f"schema_version {plain.get('schema_version')}, this sslbench reads {SCHEMA_VERSION}",
        )
    try:
        fields = FeatureHeader.model_fields.items()
        typed = {k: plain[k] if f.annotation is str else json.loads(plain[k]) for k, f in fields}
        header = build(FeatureHeader, typed, "header")
    except (KeyError, ValueError, ConfigError) as error:
        raise _damaged(path, f"its header is not whole: {error}") from error
    if header.key != path.stem:
        raise _damaged(path, f"it holds other features, {header.key}")
    if found != ("F32", [header.rows, header.dim]):
        raise _damaged(path, f"it holds {found}, not {header.rows} x {header.dim} of F32")
    return header


def _damaged(path: Path, why: str) -> StoreError:
    return StoreError(
        f"{path}: damaged features ({why}). Remove the file, or all such files by "
        "`sslbench features --prune`; they are then computed anew"
    )


def feature_files(folder: Path) -> list[FeatureFile]:
    """All of a folder, those used longest ago first, with what is damaged or left unfinished."""
    found = []
    for path in (*sorted(folder.glob("*.safetensors")), *sorted(folder.glob(".*.tmp"))):
        try:
            facts = path.stat()
        except FileNotFoundError:  # finished or removed by another process in between
            continue
        header, fault = None, ""
        if path.suffix == ".safetensors":
            try:
                header, fault = read_header(path), ""
            except StoreError as error:
                fault = str(error)
        found.append(FeatureFile(path, facts.st_size, facts.st_mtime, header, fault))
    return sorted(found, key=lambda file: file.used)


def of_no_use(files: Iterable[FeatureFile], encoders: Collection[str]) -> list[FeatureFile]:
    """Features of none of the encoders (digests), damaged ones, and what nobody writes any more."""
    return [
        file
        for file in files
        if (file.header is not None and file.header.encoder_digest not in encoders)
        or (file.header is None and not _in_the_making(file))
    ]


def _in_the_making(file: FeatureFile) -> bool:
    return file.is_unfinished and time.time() - file.used < ABANDONED


def beyond(files: Iterable[FeatureFile], limit: int) -> list[FeatureFile]:
    """Those used longest ago: as many as must go for the others to take ``limit`` bytes."""
    kept = sorted((f for f in files if not _in_the_making(f)), key=lambda file: file.used)
    total = sum(file.size for file in kept)
    gone = []
    for file in kept:
        if total <= limit:
            break
        total -= file.size
        gone.append(file)
    return gone
