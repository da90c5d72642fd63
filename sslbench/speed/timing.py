"""Timings that can be compared: sides take turns, ratios are of one round, medians with spread.

A machine's speed drifts, with its load and its temperature. Sides measured one after the other in
turn see the same drift, and the ratio of a round cancels it.
"""

import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch

from sslbench.memory import PeakMemory
from sslbench.speed.cases import Setup, Sided, case
from sslbench.speed.measurement import Figure

GIB = 1024**3


@dataclass(frozen=True)
class Side:
    """One way of doing a case's work; every call of ``work`` does the same amount."""

    name: str
    work: Callable[[], object]


def alternated(
    sides: Sequence[Side], rounds: int, report: Callable[[str], None]
) -> dict[str, list[float]]:
    """Seconds by side: after an unmeasured call of each, ``rounds`` times each in turn."""
    for side in sides:
        report(f"{side.name}: warm-up")
        side.work()
    return in_turn(sides, rounds, report)


def in_turn(
    sides: Sequence[Side], rounds: int, report: Callable[[str], None]
) -> dict[str, list[float]]:
    """Seconds by side, ``rounds`` times each in turn; what takes minutes needs no warm-up."""
    seconds: dict[str, list[float]] = {side.name: [] for side in sides}
    for number in range(rounds):
        for side in sides:
            report(f"{side.name}: round {number + 1} of {rounds}")
            gc.collect()
            began = time.perf_counter()
            side.work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()  # what was launched counts when it is done
            seconds[side.name].append(time.perf_counter() - began)
    return seconds


def figure(values: Sequence[float]) -> Figure:
    """The median of the rounds, and their range."""
    return Figure(median=statistics.median(values), low=min(values), high=max(values))


def rate(seconds: Sequence[float], amount: float) -> Figure:
    """``amount`` of work per second."""
    return figure([amount / one for one in seconds])


def ratio(slower: Sequence[float], faster: Sequence[float]) -> Figure:
    """How many times as long the first took, round by round."""
    return figure([a / b for a, b in zip(slower, faster, strict=True)])


def peak_gib(name: str, side: str, setup: Setup) -> float:
    """What a side's work adds to the memory at its peak, measured in a process of its own.

    The case ``name`` is built again there, so that nothing an earlier side left behind, such as
    freed pages that the allocator keeps, hides what this one needs.
    """
    here = torch.get_num_threads()
    plain = Setup(setup.against)  # a watcher cannot be handed to another process
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (name, side, plain, here))


def _peak(name: str, side: str, setup: Setup, threads: int) -> float:
    torch.set_num_threads(threads)
    found = case(name)
    assert isinstance(found, Sided), name
    sides = {one.name: one for one in found.sides(setup)}
    before = _resident()
    with PeakMemory(torch.device("cpu")) as memory:
        sides[side].work()
    return memory.gib - before


def _resident() -> float:
    """GiB of this process that lie in memory now."""
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / GIB
    unit = GIB if sys.platform == "darwin" else 1024**2
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
