"""Frozen features in the making: a file that grows beside its place until it is whole.

What is written goes on from where an interrupt, a kill or a full disk left it: beside the growing
file stands how many of its rows are certain, with their digest. It is written and not mapped while
it grows, because a full disk would then be a signal that kills the process instead of an error.
"""

import hashlib
import json
import os
import struct
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sslbench.config import Settings, build, canonical
from sslbench.disk import beginning_hashed, check_room, sync_folder, writing
from sslbench.errors import ConfigError, Interrupted, UnwritableError
from sslbench.feature_files import ALIGNMENT, TENSOR, FeatureHeader, Rows, note_path
from sslbench.store import write_json

SAVE_SECONDS = 60.0


class _Note(Settings):
    """How far a growing file is certain."""

    header: FeatureHeader
    rows: int
    sha256: str  # of the file up to the end of these rows


@dataclass(frozen=True)
class Begun:
    """A growing file that is as its note says."""

    header: FeatureHeader
    rows: int
    size: int  # bytes up to the end of these rows
    digest: "hashlib._Hash"  # of these bytes, to be gone on with


def growing(path: Path) -> tuple[Path, Path]:
    """The file that ``path`` will be, and the note of how far it is certain."""
    file = path.with_name(f".{path.name}.tmp")
    return file, note_path(file)


def begun(path: Path, key: str) -> Begun | None:
    """What an earlier process left of the features ``key``, if it is as its note says."""
    file, note = growing(path)
    try:
        found = build(_Note, json.loads(note.read_text(encoding="utf-8")), str(note))
        size = len(_head(found.header)) + 4 * found.rows * found.header.dim
        digest = beginning_hashed(file, size)
        if found.header.key == key and digest.hexdigest() == found.sha256:
            return Begun(found.header, found.rows, size, digest)
    except (OSError, ValueError, ConfigError):
        pass  # nothing, or nothing to rely on: rows are computed anew
    return None


def write_features(
    path: Path, header: FeatureHeader, blocks: Iterable[Rows], left: Begun | None = None
) -> None:
    """``blocks`` (n x dim each), behind the rows that are ``left``, as one file.

    No more than a block is in memory. Raises UnwritableError if there is no room or the folder
    cannot be written, ValueError if the blocks are not rows x dim. The file is there only when it
    is whole; what an interrupt or a full disk leaves of it is found by ``begun``.
    """
    file, note = growing(path)
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if left is None:
                note.unlink(missing_ok=True)  # before the file that it speaks of is written over
                check_room(path, 4 * header.rows * header.dim)
            with file.open("r+b" if left else "wb") as stream:
                _Growth(stream, note, header, left).go_on(blocks)
                stream.flush()
                os.fsync(stream.fileno())
            file.replace(path)
            note.unlink(missing_ok=True)
            sync_folder(path.parent)
        except OSError:
            if not note.exists():  # no row of it is certain
                with suppress(OSError):
                    file.unlink(missing_ok=True)
            raise
        except (Interrupted, KeyboardInterrupt, UnwritableError):
            raise
        except BaseException:  # rows that will be no other the next time
            for one in (note, file):
                one.unlink(missing_ok=True)
            raise


class _Growth:
    def __init__(
        self, stream: BinaryIO, note: Path, header: FeatureHeader, left: Begun | None
    ) -> None:
        self.stream, self.note, self.header = stream, note, header
        self.rows, self.saved = 0, time.monotonic()
        if left is None:
            self.digest = hashlib.sha256()
            self._append(_head(header))
        else:
            self.rows, self.digest = left.rows, left.digest
            stream.truncate(left.size)
            stream.seek(left.size)

    def go_on(self, blocks: Iterable[Rows]) -> None:
        header = self.header
        try:
            for block in blocks:
                if block.shape[1:] != (header.dim,) or block.dtype != np.float32:
                    raise ValueError(
                        f"a block of {block.shape}, {block.dtype}; dim is {header.dim}"
                    )
                self._append(np.ascontiguousarray(block).data)
                self.rows += len(block)
                if time.monotonic() - self.saved > SAVE_SECONDS:
                    self.save()
        except (Interrupted, KeyboardInterrupt):
            self.save()
            raise
        if self.rows != header.rows:
            raise ValueError(f"{self.rows} rows, expected {header.rows}")

    def save(self) -> None:
        """Makes the rows so far certain. Where there is no room for that, the older note stays."""
        with suppress(OSError, UnwritableError):
            self.stream.flush()
            os.fsync(self.stream.fileno())
            begun = _Note(header=self.header, rows=self.rows, sha256=self.digest.hexdigest())
            write_json(self.note, begun)
        self.saved = time.monotonic()

    def _append(self, data: Any) -> None:
        self.stream.write(data)
        self.digest.update(data)


def _head(header: FeatureHeader) -> bytes:
    """The format's first bytes: the length of a JSON text, and the text, padded with spaces."""
    shape = [header.rows, header.dim]
    tensor = {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * header.rows * header.dim]}
    values = header.model_dump(mode="json")
    plain = {k: v if isinstance(v, str) else canonical(v) for k, v in values.items()}
    text = json.dumps({"__metadata__": plain, TENSOR: tensor}).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return struct.pack("<Q", len(text)) + text
