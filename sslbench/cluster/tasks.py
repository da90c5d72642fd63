"""What a task of Ray does: all of one run that has no record, alone or as one of its ranks."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sslbench import distributed
from sslbench.cluster.board import POLL_SECONDS, Reporter
from sslbench.environment import pick_device
from sslbench.errors import ConfigError, SSLBenchError
from sslbench.examine import Tally
from sslbench.following import together
from sslbench.plan import Planned
from sslbench.runner import Runner
from sslbench.store import Store


@dataclass(frozen=True)
class Call:
    """What every task is told besides its run."""

    results: Path
    data_root: Path | None
    download: bool
    workers: int
    tracker: str | None
    token: str  # a file in the results folder, by which a node knows that it is the same folder


@dataclass(frozen=True)
class Seat:
    """Which of the ranks of which attempt at a run a task is."""

    attempt: str
    rank: int
    ranks: int


def work(planned: Planned, call: Call, board: Any, seat: Seat) -> Tally:
    """All of one run that has no record; of several ranks, the first says what was done."""
    if not (call.results / call.token).exists():
        raise ConfigError(
            f"{socket.gethostname()} does not see results folder {call.results}: it must lie "
            "where all nodes can read and write it"
        )
    reporter = Reporter(board, planned.config.id)
    try:
        with _seated(seat, board), distributed.group(pick_device("auto")) as device:
            runner = Runner(
                Store(call.results),
                data_root=call.data_root,
                download=call.download,
                device=device,
                workers=call.workers,
                watcher=reporter,
                stopped=reporter.stopped,
                tracker=call.tracker,
            )
            tally = together(runner, [planned], lambda: runner.run([planned]))
            return Tally() if tally is None else tally
    except SSLBenchError as error:
        raise type(error)(f"{socket.gethostname()}: {error}") from None
    finally:
        board.at.remote(planned.config.id, None)


@contextmanager
def _seated(seat: Seat, board: Any) -> Iterator[None]:
    """What torchrun would say in the environment of a rank, which Ray's worker then forgets."""
    if seat.ranks == 1:
        yield
        return
    address, port = _place(seat, board)
    told = {
        "RANK": str(seat.rank),
        "WORLD_SIZE": str(seat.ranks),
        "LOCAL_RANK": "0",  # Ray shows a task no GPU but its own
        "MASTER_ADDR": address,
        "MASTER_PORT": str(port),
    }
    before = {name: os.environ.get(name) for name in told}
    os.environ |= told
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _place(seat: Seat, board: Any) -> tuple[str, int]:
    """Where rank 0 waits, which it decides. Raises ConfigError if it does not say."""
    import ray

    if seat.rank == 0:
        with socket.create_server(("", 0)) as free:
            found: tuple[str, int] = (ray.util.get_node_ip_address(), free.getsockname()[1])
        ray.get(board.meet.remote(seat.attempt, found))
        return found
    deadline = time.monotonic() + distributed.TIMEOUT.total_seconds()
    while time.monotonic() < deadline:
        told: tuple[str, int] | None = ray.get(board.place.remote(seat.attempt))
        if told is not None:
            return told
        time.sleep(POLL_SECONDS / 4)
    raise ConfigError(f"rank 0 of {seat.ranks} has not begun")
