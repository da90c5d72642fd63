"""Attempts at a run: a task of Ray's, or one per rank in a placement group, and how they end."""

import time
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sslbench.cluster.tasks import Call, Seat, work
from sslbench.errors import Interrupted, RankFailed
from sslbench.examine import Tally
from sslbench.plan import Planned

RETRIES = 3  # of a run whose node is lost
GRACE_SECONDS = 60.0  # until ranks are ended that do not notice the end of another


@dataclass(frozen=True)
class Resources:
    """Of one rank."""

    cpus: float
    gpus: float


@dataclass
class Attempt:
    """One at one run."""

    planned: Planned
    number: int  # 0 is the first
    refs: list[Any]  # Ray's, of its ranks in order
    group: Any = None  # the placement group, of several ranks
    broken: float | None = None  # when the first of its ranks failed

    @property
    def title(self) -> str:
        return f"{self.planned.label} (seed {self.planned.config.seed})"


def begin(
    planned: Planned, number: int, call: Call, board: Any, ranks: int, each: Resources
) -> Attempt:
    """Hands it to Ray, which starts it when there is room for all of its ranks at once."""
    import ray
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    name = uuid4().hex
    task = ray.remote(max_retries=0, num_cpus=each.cpus, num_gpus=each.gpus)(work)
    if ranks == 1:
        return Attempt(planned, number, [task.remote(planned, call, board, Seat(name, 0, 1))])
    bundle = {"CPU": each.cpus, "GPU": each.gpus}
    group = ray.util.placement_group([bundle] * ranks, strategy="PACK")  # on one node, if it can be
    refs = [
        task.options(
            scheduling_strategy=PlacementGroupSchedulingStrategy(
                group, placement_group_bundle_index=rank
            )
        ).remote(planned, call, board, Seat(name, rank, ranks))
        for rank in range(ranks)
    ]
    return Attempt(planned, number, refs, group)


def has_ended(attempt: Attempt, ready: set[Any]) -> bool:
    """Whether all of its ranks have; ends those that outlive another's failure."""
    import ray

    there = [ref for ref in attempt.refs if ref in ready]
    if len(there) < len(attempt.refs):
        if attempt.broken is None and any(_error(ref) for ref in there):
            attempt.broken = time.monotonic()
        if attempt.broken is not None and time.monotonic() - attempt.broken > GRACE_SECONDS:
            for ref in set(attempt.refs) - set(there):
                ray.cancel(ref, force=True)
        return False
    if attempt.group is not None:
        ray.util.remove_placement_group(attempt.group)
    return True


def is_lost(attempt: Attempt) -> bool:
    """Whether an ended attempt failed with a node or a process, and not of what it raised."""
    own, _, gone = _causes(attempt)
    return bool(gone) and not own


def count(tally: Tally, attempt: Attempt) -> None:
    """Adds what became of an ended attempt that is not tried again."""
    import ray

    own, others, gone = _causes(attempt)
    if own or (others and not gone):
        if not any(isinstance(error, Interrupted) for error in own):
            told = own[:1] or others
            tally.failures.append(f"{attempt.title}: {'; '.join(map(str, told))}")
    elif gone:
        kinds = ", ".join(sorted({type(error).__name__ for error in gone}))
        tally.failures.append(f"{attempt.title}: lost {attempt.number + 1} times ({kinds})")
    else:
        found: Tally = ray.get(attempt.refs[0])
        tally.done += found.done
        tally.failures += found.failures


def _causes(attempt: Attempt) -> tuple[list[Any], list[Any], list[Any]]:
    """What ranks raised, where they told of each other's end, and what Ray says of the gone."""
    import ray

    errors = [error for error in map(_error, attempt.refs) if error is not None]
    raised = [error.cause for error in errors if isinstance(error, ray.exceptions.RayTaskError)]
    others = [error for error in raised if isinstance(error, RankFailed)]
    gone = [error for error in errors if not isinstance(error, ray.exceptions.RayTaskError)]
    return [error for error in raised if error not in others], others, gone


def _error(ref: Any) -> Any:
    """What an ended task raised, as Ray tells it; None if it gave a result."""
    import ray

    try:
        ray.get(ref)
    except ray.exceptions.RayError as error:
        return error
    return None
