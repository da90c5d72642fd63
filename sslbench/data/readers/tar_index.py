"""Where the images of tar files lie, so that any of them can be read by itself.

Shards as WebDataset writes them (Aizman et al., arXiv:2001.01858) hold for each sample ``KEY.jpg``
and ``KEY.cls``, its label in digits, one after the other. Python's tarfile looks the places up, for
it checks headers and knows long names, which the package ``wids`` does not. Nothing is ever
unpacked, so a name that leads out of a folder leads nowhere.
"""

import logging
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, product
from pathlib import Path

import numpy as np

from sslbench.config import fingerprint
from sslbench.data.readers.folder import SUFFIXES
from sslbench.data.readers.source import Integers
from sslbench.data.rendered.cache import Arrays, remembered
from sslbench.errors import DataError

log = logging.getLogger(__name__)
BLOCK = 512  # of a tar file, in bytes; a file's content comes right behind the block of its name
_NONE = -1  # in place of a label
_COLUMNS = ("shard", "start", "size", "labels")
_VERSION = 1  # of what is kept in the cache folder
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass(frozen=True)
class Index:
    """The samples of some shards, in their order."""

    shard: Integers  # N, which of the files
    start: Integers  # N, the image's first byte in it
    size: Integers  # N, the image's bytes
    labels: Integers | None  # N


def expanded(folder: Path, pattern: str) -> tuple[Path, ...]:
    """All files of ``a-{00..12}.tar``, there or not; with ``*`` those that are there, sorted."""
    parts = _RANGE.split(pattern)  # text, first, last, text, first, last, ..., text
    ranges = [
        [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
        for first, last in zip(parts[1::3], parts[2::3], strict=True)
    ]
    names = [
        "".join(text + number for text, number in zip(parts[::3], (*chosen, ""), strict=True))
        for chosen in product(*ranges)
    ]
    if "*" in pattern:
        return tuple(path for name in names for path in sorted(folder.glob(name)))
    return tuple(folder / name for name in names)


def index_of(shards: Sequence[Path], label: str) -> Index:
    """The samples of all shards; ``label``: what the names of their labels end in.

    Kept in the cache folder under a name that depends on the shards' places, sizes and times.
    Raises DataError naming the shard and the sample if one is damaged or incomplete.
    """
    stats = [(str(path.resolve()), path.stat()) for path in shards]
    seen = [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]
    key = fingerprint([_VERSION, label, seen])[:16]

    def made() -> Arrays:
        log.info("looking up the images of %d shards, %s first", len(shards), shards[0])
        parts = [np.empty((0, 4), dtype=np.int64)]
        for number, path in enumerate(shards):
            samples = np.array(list(_samples(path, label)), dtype=np.int64).reshape(-1, 3)
            parts.append(np.insert(samples, 0, number, axis=1))
        return dict(zip(_COLUMNS, np.concatenate(parts).T, strict=True))

    found = remembered(key, made, "shards")
    shard, start, size, labels = (found[name].astype(np.int64) for name in _COLUMNS)
    unlabelled = labels == _NONE
    if unlabelled.any() and not unlabelled.all():
        path = shards[shard[unlabelled.argmax()]]
        raise DataError(
            f"{path}: {unlabelled.sum():,} of {len(labels):,} images have no label .{label}, the "
            "first of them here; expected: all or none"
        )
    return Index(shard, start, size, None if unlabelled.all() else labels)


def _samples(path: Path, label: str) -> Iterator[tuple[int, int, int]]:
    """Start, size and label of the images of one shard."""
    keys: set[str] = set()
    with _opened(path) as tar:
        for key, members in groupby(_files(path, tar), lambda member: _key(member.name)):
            if key in keys:
                raise DataError(f"{path}: the files of the sample {key!r} are not together")
            keys.add(key)
            found = {member.name[len(key) :].lower(): member for member in members}
            images = [member for ending, member in found.items() if ending in SUFFIXES]
            if len(images) != 1:
                raise DataError(
                    f"{path}: the sample {key!r} has {len(images)} images, one expected; it has "
                    f"{', '.join(sorted(found))}"
                )
            (image,) = images
            number = _label(path, tar, found.get(f".{label}"))
            yield image.offset_data, image.size, number


def _opened(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path, "r:")
    except (OSError, tarfile.TarError) as error:
        raise DataError(
            f"{path}: cannot be read as a tar file that is not compressed ({error})"
        ) from error


def _files(path: Path, tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The files in it, in order. Raises DataError where it is cut short or damaged."""
    end = 0
    try:
        for member in tar:
            end = member.offset_data + (
                0 if not member.isreg() else -(-member.size // BLOCK) * BLOCK
            )
            if member.issparse():
                raise DataError(f"{path}: {member.name} is stored with holes")
            if member.isreg():
                yield member
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"{path}: cut short or damaged ({error})") from error
    # tarfile takes what it cannot read for the end, which by its format is a block of zeros.
    assert tar.fileobj is not None
    tar.fileobj.seek(end)
    if tar.fileobj.read(BLOCK) != bytes(BLOCK):
        raise DataError(
            f"{path}: cut short or damaged at byte {end:,}: no end of the archive there"
        )


def _key(name: str) -> str:
    """The name up to the first dot of its last part."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def _label(path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> int:
    if member is None:
        return _NONE
    assert tar.fileobj is not None
    tar.fileobj.seek(member.offset_data)
    text = tar.fileobj.read(member.size).strip()
    if not text.isdigit():
        raise DataError(f"{path}: {member.name} holds {text[:20]!r}; expected: a class in digits")
    return int(text)
