"""Files that are whole or not there: written beside their place, flushed to disk, renamed.

A killed process or a full disk damages nothing that was there before.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from sslbench.errors import UnwritableError

GIB = 2**30
_BLOCK = 2**20  # bytes hashed at once


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """An OSError, of a full disk or a folder of somebody else, becomes an UnwritableError."""
    try:
        yield
    except OSError as error:
        raise UnwritableError(f"{path} cannot be written ({error.strerror or error})") from error


def write_atomic(path: Path, write: Callable[[Path], None]) -> None:
    """``write`` fills a temporary file, which then takes the place of ``path``.

    Raises UnwritableError if the disk is full or the folder cannot be written; ``path`` is
    untouched.
    """
    # Not by process id: containers that share a volume have the same ones.
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:16]}.tmp")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
        except BaseException:
            with suppress(OSError):  # where a file stands in place of the folder
                temporary.unlink(missing_ok=True)
            raise


def check_room(path: Path, needed: int) -> None:
    """Before hours are spent on what finds no place: ``needed`` bytes where ``path`` will be.

    Raises UnwritableError.
    """
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise UnwritableError(
            f"{path} needs {needed / GIB:.2f} GiB, {free / GIB:.2f} are free. Make room, such as "
            "by `sslbench features --prune`, or choose another folder with --results"
        )


def sync_folder(folder: Path) -> None:
    """Has names that were given in a folder outlive a loss of power."""
    if os.name == "posix":  # elsewhere a folder cannot be opened
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def write_text(path: Path, text: str) -> None:
    """``write_atomic`` of text: the same bytes on every system."""

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8", newline="\n")

    write_atomic(path, write)


def beginning_hashed(path: Path, size: int) -> "hashlib._Hash":
    """SHA-256 of the first ``size`` bytes of a file, which may be shorter; more can be added."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (block := file.read(min(_BLOCK, size))):
            found.update(block)
            size -= len(block)
    return found


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
