"""A disk that fills up at every write in turn, and a small one that really is full.

Each time nothing that was there is damaged, one message says what happened, and the same command
comes to the end of an undisturbed run when there is space.
"""

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sslbench import feature_writing
from sslbench.doctor.folder import examine
from sslbench.plan import Planned
from sslbench.store import Store
from sslbench.train import log, loop
from tests.soak.count import Count
from tests.soak.small import ended, in_a_child, outcome, small_plan, work

UNWRITABLE = 2  # the exit code


def full_disk(sizes: int = 12, every: int = 1) -> Iterator[Count]:
    """At each write, or each ``every``th, and on file systems of so many sizes where one mounts."""
    with tempfile.TemporaryDirectory() as folder:
        errors, whole = Path(folder, "errors.txt"), Path(folder, "whole")
        plan = small_plan("hcsc", epochs=2)
        calls = Path(folder, "calls")
        code = ended(in_a_child(lambda: _counted(whole, plan, calls), errors))
        if code:
            raise RuntimeError(f"exit {code}: {errors.read_text()}")
        expected, total = outcome(whole), int(calls.read_text())
        writes = range(1, total + 1, every)
        yield _at_writes(Path(folder), plan, expected, writes, errors)
        yield _small_disks(Path(folder), plan, expected, whole, sizes, errors)


def _at_writes(
    folder: Path, plan: list[Planned], expected: dict[str, Any], writes: range, errors: Path
) -> Count:
    count = Count("full disk at a write")
    for number in writes:
        results = folder / f"full-{number}"
        code = ended(in_a_child(lambda at=number, to=results: _starved(to, plan, at), errors))
        count.add(*_judged(results, plan, expected, code, errors))
        shutil.rmtree(results, ignore_errors=True)
    return count


def _small_disks(
    folder: Path,
    plan: list[Planned],
    expected: dict[str, Any],
    whole: Path,
    sizes: int,
    errors: Path,
) -> Count:
    """Of a growing share of what the run needs; without the right to mount, none."""
    count = Count("full file system")
    needed = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    for number in range(sizes):
        with _mounted(folder / "small", needed * number // sizes) as place:
            if place is None:
                break
            results = place / "results"
            code = ended(in_a_child(lambda to=results: work(to, plan), errors))
            said = errors.read_text()
            _mount("remount,size=1g", place)
            errors.write_text(said)
            holds, _, why = _judged(results, plan, expected, code, errors)
            count.add(holds, "a small file system", why)
    return count


def _judged(
    results: Path, plan: list[Planned], expected: dict[str, Any], code: int, errors: Path
) -> tuple[bool, str, str]:
    """Whether the starved run ended as it should, and goes on to the right end."""
    where = "a write"
    if code != UNWRITABLE or "cannot be written" not in (said := errors.read_text()):
        if code == UNWRITABLE and "are free. Make room" in errors.read_text():
            where = "found out beforehand"
        else:
            return False, where, f"exit {code}: {errors.read_text()}"
    else:
        where = _place(said)
    damage = [f.what for f in examine(Store(results)) if f.kind == "fault" and not f.is_mendable]
    if damage:
        return False, where, f"damaged: {damage}"
    code = ended(in_a_child(lambda: work(results, plan), errors))
    if code:
        return False, where, f"does not go on, exit {code}: {errors.read_text()}"
    return outcome(results) == expected, where, "another outcome than on an empty disk"


def _place(said: str) -> str:
    """What could not be written, as a kind of file."""
    name = Path(said.partition(" cannot be written")[0].split()[-1]).name
    for ending in ("checkpoint.next.pt", "spread.parquet", "parquet", "jsonl", "safetensors"):
        if name.endswith(ending):
            return ending
    return name if name in ("manifest.json", "plan.json") else "record"


def _counted(results: Path, plan: list[Planned], calls: Path) -> None:
    with _writes(lambda number: None) as made:
        work(results, plan)
    calls.write_text(str(made()))


def _starved(results: Path, plan: list[Planned], at: int) -> None:
    def full(number: int) -> None:
        if number >= at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with _writes(full):
        work(results, plan)


@contextmanager
def _writes(before: Callable[[int], None]) -> Iterator[Callable[[], int]]:
    """Calls ``before`` with the number of each write: of whole files, log lines, blocks of rows."""
    loop.CHECKPOINT_SECONDS = 0.0
    made = 0

    def written() -> None:
        nonlocal made
        made += 1
        before(made)

    fsync, append, dumps = os.fsync, feature_writing._Growth._append, log.json.dumps

    def syncing(descriptor: int) -> None:
        written()
        fsync(descriptor)

    def appending(self: Any, data: Any) -> None:
        written()
        append(self, data)

    class Json:
        loads = staticmethod(log.json.loads)

        @staticmethod
        def dumps(line: Any) -> str:
            written()
            return dumps(line)

    os.fsync = syncing
    feature_writing._Growth._append = appending  # type: ignore[method-assign]
    log.json = Json  # type: ignore[assignment]
    yield lambda: made


@contextmanager
def _mounted(place: Path, size: int) -> Iterator[Path | None]:
    """A file system in memory, or None where this process may not mount one."""
    place.mkdir(exist_ok=True)
    if not _mount(f"size={max(size, 4096)}", place, "-t", "tmpfs", "tmpfs"):
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _mount(options: str, place: Path, *what: str) -> bool:
    command = ["mount", "-o", options, *what, str(place)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
