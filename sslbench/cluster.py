"""Many runs over a cluster: each is a task of Ray, and all write to one results folder.

A task does what ``sslbench run`` does for one run, with the same locks and hashes, so whatever
becomes of a node, its runs are taken up where they were, and none is done twice.
"""

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

from sslbench.environment import pick_device
from sslbench.errors import ConfigError, Interrupted, SSLBenchError
from sslbench.examine import Tally, Watcher
from sslbench.plan import Planned
from sslbench.runner import Runner
from sslbench.stages import stages
from sslbench.store import Store

RETRIES = 3  # of a run whose node is lost
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Cluster:
    """Where, and what a run takes of it."""

    address: str | None = None  # of a running cluster; None: one is started on this machine
    gpus_per_run: float = 0.0  # a fraction lets runs share a GPU
    cpus_per_run: int = 1


@dataclass(frozen=True)
class Call:
    """What every task is told besides its run."""

    results: Path
    data_root: Path | None
    download: bool
    workers: int
    tracker: str | None
    token: str  # a file in the results folder, by which a node knows that it is the same folder


@contextmanager
def joined(cluster: Cluster) -> Iterator[None]:
    """Connected to the cluster. Raises ConfigError if Ray is not there, or does not answer."""
    if find_spec("ray") is None:
        raise ConfigError("--executor ray: Ray is not installed. pip install 'sslbench[cluster]'")
    import ray

    try:
        ray.init(cluster.address, log_to_driver=False, include_dashboard=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(f"--address {cluster.address}: {str(error).splitlines()[0]}") from error
    try:
        yield
    finally:
        ray.shutdown()


def run_on(
    cluster: Cluster,
    runner: Runner,
    plan: Sequence[Planned],
    watcher: Watcher,
    stopped: Callable[[], bool],
) -> Tally:
    """Every run of the plan that has not all its records. Interrupted passes through.

    ``runner``: this machine's, which knows what is done.
    """
    import ray

    _check_resources(cluster, ray.cluster_resources())
    token = f".cluster-{uuid4().hex}"
    (runner.store.root / token).touch()
    call = Call(
        runner.store.root.absolute(),
        runner.examiner.data_root.absolute() if runner.examiner.data_root else None,
        runner.examiner.download,
        runner.workers,
        runner.tracker,
        token,
    )
    tally = Tally(already=sum(runner.is_done(stage) for stage in stages(plan)))
    open_ = [p for p in plan if not all(map(runner.is_done, stages([p])))]
    board = _board_here()
    task = ray.remote(
        num_cpus=cluster.cpus_per_run, num_gpus=cluster.gpus_per_run, max_retries=RETRIES
    )(_work)
    waiting = {task.remote(planned, call, board): planned for planned in open_}
    watcher.stage(f"{len(open_)} runs on the cluster", 1, 1)
    told = False
    try:
        while waiting:
            ended, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=POLL_SECONDS)
            news, now = ray.get(board.news.remote())
            for line in news:
                watcher.finished(line)
            for ref in ended:
                _count(tally, waiting.pop(ref), ref)
            watcher.update(len(open_) - len(waiting), len(open_), ", ".join(now[:3]))
            if stopped() and not told:
                told = True
                board.stop.remote()
        for line in ray.get(board.news.remote())[0]:
            watcher.finished(line)
    finally:
        (runner.store.root / token).unlink(missing_ok=True)
    if told:
        raise Interrupted("interrupted; the same command goes on from there")
    return tally


def _check_resources(cluster: Cluster, there: dict[str, float]) -> None:
    """Raises ConfigError for what no node can have."""
    if cluster.gpus_per_run > 1:
        raise ConfigError(
            f"--gpus-per-run {cluster.gpus_per_run:g}: a task of Ray has one process. Start a run "
            "of several GPUs by torchrun, or give 1 or a fraction"
        )
    for name, wanted in (("GPU", cluster.gpus_per_run), ("CPU", cluster.cpus_per_run)):
        if wanted > there.get(name, 0):
            raise ConfigError(
                f"a run wants {wanted:g} {name}, the cluster has {there.get(name, 0):g}"
            )


def _count(tally: Tally, planned: Planned, ref: Any) -> None:
    """What became of one run."""
    import ray

    title = f"{planned.label} (seed {planned.config.seed})"
    try:
        found = ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if not isinstance(cause, Interrupted):
            tally.failures.append(f"{title}: {cause}")
    except ray.exceptions.RayError as error:
        tally.failures.append(f"{title}: lost {RETRIES + 1} times ({type(error).__name__})")
    else:
        tally.done += found.done
        tally.failures += found.failures


def _board_here() -> Any:
    """A board on this machine, which is lost only with the command itself.

    Ray would place it anywhere; where it fell on a node that is lost, the plan ended with it.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(_Board).remote()


class _Board:
    """Where tasks write what they do, and read whether to stop."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.current: dict[str, str] = {}
        self.stopping = False

    def finished(self, line: str) -> None:
        self.lines.append(line)

    def at(self, run: str, note: str | None) -> None:
        self.current.pop(run, None)
        if note is not None:
            self.current[run] = note

    def news(self) -> tuple[list[str], list[str]]:
        lines, self.lines = self.lines, []
        return lines, list(self.current.values())

    def stop(self) -> None:
        self.stopping = True

    def is_stopping(self) -> bool:
        return self.stopping


class _Reporter:
    """The watcher of a task: tells the board, but not at every step."""

    def __init__(self, board: Any, run: str) -> None:
        self.board, self.run = board, run
        self.title, self.told, self.asked, self.stop = "", 0.0, 0.0, False

    def stage(self, title: str, number: int, of: int) -> None:
        self.title = title

    def update(self, done: int, total: int, note: str) -> None:
        if time.monotonic() - self.told > POLL_SECONDS:
            self.told = time.monotonic()
            self.board.at.remote(self.run, f"{self.title} {done}/{total}")

    def finished(self, message: str) -> None:
        self.board.finished.remote(message)

    def stopped(self) -> bool:
        import ray

        if not self.stop and time.monotonic() - self.asked > POLL_SECONDS:
            self.asked = time.monotonic()
            with suppress(ray.exceptions.ActorUnavailableError):  # no answer now: asked again
                self.stop = ray.get(self.board.is_stopping.remote())
        return self.stop


def _work(planned: Planned, call: Call, board: Any) -> Tally:
    """In a task: all of one run that has no record."""
    if not (call.results / call.token).exists():
        raise ConfigError(
            f"{socket.gethostname()} does not see results folder {call.results}: it must lie "
            "where all nodes can read and write it"
        )
    reporter = _Reporter(board, planned.config.id)
    runner = Runner(
        Store(call.results),
        data_root=call.data_root,
        download=call.download,
        device=pick_device("auto"),
        workers=call.workers,
        watcher=reporter,
        stopped=reporter.stopped,
        tracker=call.tracker,
    )
    try:
        runner.check([planned])
        return runner.run([planned])
    except SSLBenchError as error:
        raise type(error)(f"{socket.gethostname()}: {error}") from None
    finally:
        board.at.remote(planned.config.id, None)
