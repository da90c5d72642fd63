"""Killed at random moments, begun again each time: the end is that of a run that never was.

A child tells its parent through a pipe which moment it is in, and the parent kills it there with
SIGKILL: between two steps, when clustering has begun, when a checkpoint is being written, and in an
evaluation.
"""

import itertools
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sslbench import checkpoints
from sslbench.plan import Planned
from sslbench.runner import Runner
from sslbench.train import loop
from sslbench.train.context import TrainingContext
from tests.soak.count import Count
from tests.soak.small import ended, in_a_child, outcome, small_plan, work

METHODS = ("simclr", "moco", "pcl", "hcsc", "swav", "instdisc")
MOMENTS = {
    b"s": "a step",
    b"c": "the start of an epoch",
    b"w": "a checkpoint",
    b"e": "an evaluation",
}
CLUSTER = {b"c": "clustering"}  # what the start of an epoch is to these
CLUSTERING = ("pcl", "hcsc")
OFTEN = {b"s": 8, b"c": 2, b"w": 4, b"e": 3}  # at most so many such moments pass before the kill
LONGEST_PAUSE = 0.02  # seconds between a moment's begin and the kill


def kills(per_method: int, methods: Sequence[str] = METHODS, seed: int = 0) -> Iterator[Count]:
    """So many kills of each method."""
    for method in methods:
        yield _kills_of(method, per_method, random.Random(f"{seed} {method}"))


def _kills_of(method: str, wanted: int, chance: random.Random) -> Count:
    count = Count(f"kills of {method}")
    plan = small_plan(method, epochs=5)
    names = {**MOMENTS, **(CLUSTER if method in CLUSTERING else {})}
    with tempfile.TemporaryDirectory() as folder:
        errors = Path(folder, "errors.txt")
        whole = Path(folder, "whole")
        _finish(whole, plan, errors)
        expected = outcome(whole)
        for number in itertools.count():
            if count.tried >= wanted:
                break
            results = Path(folder, f"killed-{number}")
            places = []
            for moment in _moments(wanted - count.tried, chance):
                if not _killed(results, plan, moment, chance, errors):
                    break  # it had ended before that moment came
                places.append(names[moment])
            why = "another outcome than without the kills"
            try:
                _finish(results, plan, errors)
                holds = outcome(results) == expected
            except RuntimeError as error:
                holds, why = False, str(error)
            for place in places:
                count.add(holds, place, why)
    return count


def _moments(wanted: int, chance: random.Random) -> list[bytes]:
    """Of one run: in training in any order, then in an evaluation."""
    training = [b"s", b"c", b"w"]
    chance.shuffle(training)
    return [*training[: max(1, wanted - 1)], b"e"][:wanted]


def _finish(results: Path, plan: list[Planned], errors: Path) -> None:
    """Raises RuntimeError if the run does not come to its end."""
    code = ended(in_a_child(lambda: work(results, plan), errors))
    if code:
        raise RuntimeError(f"exit {code}: {errors.read_text()}")


def _killed(
    results: Path, plan: list[Planned], moment: bytes, chance: random.Random, errors: Path
) -> bool:
    """Whether the child was killed in that moment, or had ended before it came."""
    reading, writing = os.pipe()

    def task() -> None:
        os.close(reading)
        _tell_of_moments(lambda which: os.write(writing, which))
        work(results, plan)

    child = in_a_child(task, errors)
    os.close(writing)
    left = chance.randint(1, OFTEN[moment])
    with os.fdopen(reading, "rb", buffering=0) as told:
        while left:
            which = told.read(1)
            if not which:
                code = ended(child)
                if code:
                    raise RuntimeError(f"exit {code}, {errors.read_text()}")
                return False
            left -= which == moment
        time.sleep(chance.uniform(0, LONGEST_PAUSE))
        os.kill(child, signal.SIGKILL)
    return ended(child) == -signal.SIGKILL


def _tell_of_moments(tell: Callable[[bytes], object]) -> None:
    """In the child: patches what begins a moment, and has checkpoints written all the time."""
    loop.CHECKPOINT_SECONDS = 0.0
    begin, write, evaluate = TrainingContext.begin, checkpoints.write_atomic, Runner._evaluate

    def beginning(self: TrainingContext, place: str, epoch: int, step: int) -> None:
        tell(b"c" if place == "epoch" else b"s")
        begin(self, place, epoch, step)

    def writing(path: Path, fill: Callable[[Path], None]) -> None:
        def slowly(temporary: Path) -> None:
            fill(temporary)
            tell(b"w")
            time.sleep(LONGEST_PAUSE / 2)  # whole, but without its name

        write(path, slowly)

    def evaluating(self: Runner, stage: Any) -> Any:
        tell(b"e")
        return evaluate(self, stage)

    TrainingContext.begin = beginning  # type: ignore[method-assign]
    checkpoints.write_atomic = writing
    Runner._evaluate = evaluating  # type: ignore[method-assign]
