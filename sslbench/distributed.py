"""Ranks that share the work of one run: which this process is, and what they tell each other.

``torchrun`` starts the processes and says so in the environment. Alone, a process is rank 0 of 1,
and nothing here does anything.
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from sslbench.errors import ConfigError, RankFailed
from sslbench.launch import is_launched
from sslbench.rendezvous import store_of_this_start

T = TypeVar("T")
# Longer than rank 0 alone may take for k-means of a large set; a rank that died is told at once.
TIMEOUT = timedelta(minutes=30)
PATIENCE = timedelta(days=7)
_sharing = False


@contextmanager
def group(device: torch.device) -> Iterator[torch.device]:
    """Joins the others for as long as the context lasts; gives the device of this rank.

    gloo on CPUs, NCCL on GPUs. Raises ConfigError if the ranks cannot reach each other.
    """
    if not is_launched():
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    number, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    try:
        store = store_of_this_start(number, ranks, TIMEOUT)
        dist.init_process_group(
            backend, store=store, rank=number, world_size=ranks, timeout=TIMEOUT
        )
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"rank {os.environ.get('RANK')} on {socket.gethostname()} cannot join the others: "
            f"{str(error).splitlines()[0]}"
        ) from error
    try:
        yield device
    finally:
        _patient.cache_clear()
        dist.destroy_process_group()


def size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this rank is the one that writes and speaks."""
    return rank() == 0


def failed(error: Exception) -> RankFailed:
    """An error of this rank alone, as the one message that says where it was."""
    if isinstance(error, RankFailed):
        return error
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return RankFailed(f"rank {rank()} on {socket.gethostname()}: {first}")


# ---- shares -----------------------------------------------------------------------------------


def share(count: int) -> slice:
    """This rank's part of ``count`` rows, in rank order. Raises ConfigError if it is not even."""
    if count % size():
        raise ConfigError(f"{size()} ranks do not divide {count} rows")
    return parts(count)[rank()]


@contextmanager
def shared_batches() -> Iterator[None]:
    """While encoders in training see their rank's part of a batch, and hand out all of it."""
    global _sharing
    _sharing = size() > 1
    try:
        yield
    finally:
        _sharing = False


def shares_batches() -> bool:
    return _sharing


def parts(count: int) -> list[slice]:
    """``count`` things in as many runs as there are ranks, some of them one longer."""
    edges = [count * number // size() for number in range(size() + 1)]
    return [slice(*pair) for pair in pairwise(edges)]


# ---- decisions --------------------------------------------------------------------------------


def by_first(task: Callable[[], T]) -> T:
    """What rank 0 finds, on every rank; what it raises is raised on every rank."""
    if size() == 1:
        return task()
    told: list[Any] = [None, None]
    if is_first():
        try:
            told = [task(), None]
        except Exception as error:
            told = [None, error]
    dist.broadcast_object_list(told, src=0)
    if told[1] is not None:
        raise told[1]
    found: T = told[0]
    return found


def once(task: Callable[[], T]) -> T:
    """By rank 0 alone while ranks share batches; elsewhere, as in an evaluation, by who asks."""
    return by_first(task) if shares_batches() else task()


def tell(order: Any) -> None:
    """Rank 0 says what is to be done next, which the others wait for in ``told``.

    Raises RankFailed where one of them has ended.
    """
    if size() > 1:
        with _others_there():
            dist.broadcast_object_list([order], src=0, group=_patient())


def told() -> Any:
    """What rank 0 says next, however long that takes. Raises RankFailed where it has ended."""
    order: list[Any] = [None]
    with _others_there():
        dist.broadcast_object_list(order, src=0, group=_patient())
    return order[0]


@contextmanager
def _others_there() -> Iterator[None]:
    """torch says in a RuntimeError of a closed connection that another rank has ended."""
    try:
        yield
    except RuntimeError as error:
        raise failed(error) from error


@cache
def _patient() -> dist.ProcessGroup:
    """Between two orders rank 0 may evaluate for hours. Made by all ranks at their first order."""
    found = dist.new_group(backend="gloo", timeout=PATIENCE)
    assert isinstance(found, dist.ProcessGroup)
    return found


def any_rank(yes: bool) -> bool:
    """Whether it holds on one of the ranks."""
    return any(of_all(yes))


def check_alike(what: str, value: str) -> None:
    """Raises ConfigError, on every rank, where ranks have not the same."""
    found = of_all((socket.gethostname(), value))
    unlike = [place for place, other in found if other != found[0][1]]
    if unlike:
        raise ConfigError(
            f"{what} differ between ranks: {', '.join(dict.fromkeys(unlike))} not as on "
            f"{found[0][0]}. Start all ranks with the same command, code and data"
        )


def raise_together(fault: str | None) -> None:
    """Raises ConfigError on every rank if one has a fault, naming the first."""
    faults = [f"rank {number}: {one}" for number, one in enumerate(of_all(fault)) if one]
    if faults:
        raise ConfigError(faults[0])


def of_all(value: T) -> list[T]:
    """The values of all ranks, in order, on every rank."""
    if size() == 1:
        return [value]
    found: list[Any] = [None] * size()
    dist.all_gather_object(found, value)
    return found


def to_first(value: T) -> list[T]:
    """The values of all ranks, in order, on rank 0; nothing on the others.

    Raises RankFailed where one of them has ended.
    """
    if size() == 1:
        return [value]
    found: list[Any] = [None] * size()
    with _others_there():
        dist.gather_object(value, found if is_first() else None, dst=0, group=_patient())
    return found if is_first() else []


def barrier() -> None:
    """Waits for all: what rank 0 has written is there."""
    if size() > 1:
        dist.barrier()
