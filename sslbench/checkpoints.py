"""Checkpoints on disk: sealed with a digest, the last two kept, the newest whole one believed."""

import hashlib
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from sslbench.disk import (
    beginning_hashed,
    check_room,
    file_digest,
    sync_folder,
    write_atomic,
)
from sslbench.errors import StoreError

log = logging.getLogger(__name__)

# After torch's own bytes, a zip archive, which is found from its end and allows for what follows.
_MARK = b"\nsha256:"
_SEAL_BYTES = len(_MARK) + hashlib.sha256().digest_size * 2


class Checkpoints:
    """The last two states of one piece of work: ``path``, and the one before it beside it.

    ``owner`` says whose they are, such as a run's hash; a state of another's is never given.
    """

    def __init__(self, path: Path, owner: Mapping[str, str | int]) -> None:
        self.path, self.owner = path, dict(owner)
        self.next, self.previous = (
            path.with_name(f"{path.stem}.{which}{path.suffix}") for which in ("next", "previous")
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """Those that there are, the newest first."""
        # next: killed before it was renamed
        return tuple(p for p in (self.next, self.path, self.previous) if p.exists())

    def save(self, state: Mapping[str, Any]) -> None:
        """Raises UnwritableError, and what was there before is as it was.

        Killed at any moment it leaves a whole state: the new one gets its name when it is on disk.
        """

        def write(temporary: Path) -> None:
            torch.save({"owner": self.owner, "state": dict(state)}, temporary)
            seal = file_digest(temporary)
            with temporary.open("ab") as file:
                file.write(_MARK + seal.encode())

        write_atomic(self.next, write)
        if self.path.exists():
            self.path.replace(self.previous)
        self.next.replace(self.path)
        sync_folder(self.path.parent)

    def check_room(self, size: int) -> None:
        """For states of ``size`` bytes each. Raises UnwritableError where they do not fit."""
        there = sum(path.exists() for path in (self.path, self.previous))
        check_room(self.path, (3 - there) * size)  # with the one that is being written

    def load(
        self, device: torch.device | str = "cpu", *, mmap: bool = False
    ) -> dict[str, Any] | None:
        """The newest state that is whole, or None where there is none.

        Loaded weights-only: no code in the file is run; ``mmap`` reads no more of its tensors than
        is used. A damaged one is named in a warning, and the one before it is taken. Raises
        StoreError if none is whole, or if it is of another owner.
        """
        damaged = []
        for path in self.files:
            try:
                payload = _read(path, device, mmap)
            except StoreError as error:
                damaged.append(str(error))
                continue
            if payload.get("owner") != self.owner:
                raise StoreError(
                    f"{path}: belongs to {_named(payload.get('owner'))}, expected "
                    f"{_named(self.owner)}. Remove it to begin anew"
                )
            for fault in damaged:
                log.warning("%s; going on from %s", fault, path.name)
            state: dict[str, Any] = payload["state"]
            return state
        if damaged:
            raise StoreError(f"{'; '.join(damaged)}. Remove what is damaged to begin anew")
        return None

    def remove(self) -> None:
        for path in self.files:
            path.unlink(missing_ok=True)

    def remove_own(self) -> None:
        """Where the newest whole one is of this owner. Of another's nothing is touched."""
        with suppress(StoreError):  # which whoever goes on from it will be told
            if self.load(mmap=True) is not None:
                self.remove()

    def damaged(self) -> dict[Path, str]:
        """What is wrong with those that are not as they were written."""
        found = {}
        for path in self.files:
            try:
                _check_seal(path)
            except StoreError as error:
                found[path] = str(error)
        return found


def _read(path: Path, device: torch.device | str, mmap: bool) -> dict[str, Any]:
    """``owner`` and ``state`` of one file; raises StoreError unless it is what was written."""
    _check_seal(path)
    try:
        payload: dict[str, Any] = torch.load(
            path, map_location=device, weights_only=True, mmap=mmap
        )
    except Exception as error:  # sealed, yet no checkpoint: torch raises a dozen kinds
        raise StoreError(f"{path}: not a checkpoint ({type(error).__name__})") from error
    return payload


def _check_seal(path: Path) -> None:
    """Raises StoreError unless the digest at the end is that of all before it."""
    try:
        size = path.stat().st_size - _SEAL_BYTES
        with path.open("rb") as file:
            file.seek(max(size, 0))
            seal = file.read()
        fits = seal == _MARK + beginning_hashed(path, size).hexdigest().encode()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not fits:
        raise StoreError(f"{path}: damaged checkpoint (its digest does not fit)")


def _named(owner: object) -> str:
    if not isinstance(owner, Mapping):
        return "nobody"
    return ", ".join(f"{key} {value}" for key, value in owner.items())
