"""A hundred short runs in one process: memory, open files, threads and children stay as many."""

import gc
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from sslbench import allocator
from tests.soak.count import Count
from tests.soak.small import small_plan, work

SETTLED = 0.3  # share of the runs after which nothing new is loaded any more
GROWTH = 0.05


def leaks(runs: int = 100) -> Iterator[Count]:
    """Methods in turn, each run with a seed and a results folder of its own."""
    count = Count("short runs in one process")
    methods = ("simclr", "moco", "hcsc", "swav", "instdisc")
    seen: list[tuple[int, int, int, int]] = []
    for number in range(runs):
        folder = Path(tempfile.mkdtemp())
        work(folder, small_plan(methods[number % len(methods)], epochs=1, seed=number))
        shutil.rmtree(folder)
        seen.append(_held())
    first = seen[int(runs * SETTLED)]
    last = seen[-1]
    grown = last[0] / first[0] - 1
    detail = f"{first[0] / 2**20:.0f} to {last[0] / 2**20:.0f} MiB, {100 * grown:+.1f} %"
    for _ in range(runs):
        count.add(grown < GROWTH and last[1:] <= first[1:], f"memory {detail}", f"{first} {last}")
    yield count


def _held() -> tuple[int, int, int, int]:
    """Resident bytes, open files, threads and children of this process."""
    gc.collect()
    allocator.release()
    status = Path("/proc/self/status").read_text()
    pages = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    files = sum(1 for _ in Path("/proc/self/fd").iterdir())
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return int(pages) * 1024, files, threading.active_count(), len(children)
