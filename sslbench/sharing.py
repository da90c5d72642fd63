"""Several processes on one results folder: each run is worked on by one of them at a time.

The lock of a run is the operating system's own, on a file in the run's folder. It ends with the
process that holds it, however that ends, so there are no stale ones.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from sslbench.errors import Interrupted, UnwritableError
from sslbench.store import Store

T = TypeVar("T")
LOCK = ".lock"  # in the folder of a run or of a suite's tables
AGAIN_SECONDS = 1.0  # until others' locks are tried again


@contextmanager
def locked(store: Store, run: str) -> Iterator[bool]:
    """Whether the run is this process's for as long as the context lasts.

    Raises UnwritableError if no lock can be had on this file system.
    """
    lock = _asked(store.run_folder(run) / LOCK, wait=False)
    if not lock.is_locked:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def table_locked(store: Store, suite: str) -> Iterator[None]:
    """While no other process adds rows to a suite's table; waits for one that does.

    Raises UnwritableError if no lock can be had on this file system.
    """
    lock = _asked(store.table_folder(suite) / LOCK, wait=True)
    try:
        yield
    finally:
        lock.release()


def _asked(path: Path, wait: bool) -> FileLock:
    """The lock on a file, held unless another process has it and it was not waited for."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        with suppress(Timeout):
            lock.acquire(blocking=wait)
    except (OSError, NotImplementedError) as error:
        raise UnwritableError(
            f"{path} cannot be locked ({error}). Choose another folder with --results"
        ) from error
    return lock


def in_turn(
    store: Store,
    work: Sequence[T],
    run_of: Callable[[T], str],
    *,
    stopped: Callable[[], bool],
    waiting: Callable[[str], None],
) -> Iterator[T]:
    """All of ``work`` in its order, each while its run is locked; what others hold comes last.

    ``waiting`` is told of a run when nothing but others' is left. Raises Interrupted if ``stopped``
    says so while waiting.
    """
    left = list(work)
    told: set[str] = set()
    while left:
        busy: list[T] = []
        held: set[str] = set()  # set aside whole: a run's later stages need its earlier ones
        for one in left:
            if run_of(one) in held:
                busy.append(one)
                continue
            with locked(store, run_of(one)) as mine:
                if mine:
                    yield one
                else:
                    busy.append(one)
                    held.add(run_of(one))
        if len(busy) == len(left):
            run = run_of(busy[0])
            if run not in told:
                told.add(run)
                waiting(f"waiting for another process, which works on {run}")
            if stopped():
                raise Interrupted("interrupted; another process goes on")
            time.sleep(AGAIN_SECONDS)
        left = busy
