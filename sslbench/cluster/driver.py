"""The command's side of a plan on a cluster: it hands runs to Ray, tells and counts."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from uuid import uuid4

import torch

from sslbench.cluster.attempts import RETRIES, Attempt, Resources, begin, count, has_ended, is_lost
from sslbench.cluster.board import POLL_SECONDS, board_here
from sslbench.cluster.tasks import Call
from sslbench.errors import ConfigError, Interrupted
from sslbench.examine import Tally, Watcher
from sslbench.following import check_divisible
from sslbench.plan import Planned
from sslbench.runner import Runner
from sslbench.stages import stages

GROUPS = 64  # placement groups at a time; thousands that wait for room would slow Ray down


@dataclass(frozen=True)
class Cluster:
    """Where, and what a run takes of it."""

    address: str | None = None  # of a running cluster; None: one is started on this machine
    gpus_per_run: float = 0.0  # a fraction lets runs share a GPU; of several each has a rank
    cpus_per_run: int = 1

    @property
    def ranks(self) -> int:
        return max(int(self.gpus_per_run), 1)

    @property
    def each(self) -> Resources:
        """What one rank takes."""
        return Resources(self.cpus_per_run / self.ranks, self.gpus_per_run / self.ranks)


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

    tally = Tally(already=sum(runner.is_done(stage) for stage in stages(plan)))
    open_ = [p for p in plan if not all(map(runner.is_done, stages([p])))]
    check_resources(cluster, [node["Resources"] for node in ray.nodes() if node["Alive"]])
    if cluster.ranks > 1:
        check_divisible(open_, torch.device("cuda"), cluster.ranks)
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
    board = board_here()
    queue = deque((planned, 0) for planned in open_)
    room = len(open_) if cluster.ranks == 1 else GROUPS
    under_way: list[Attempt] = []
    watcher.stage(f"{len(open_)} runs on the cluster", 1, 1)
    told = False
    try:
        while under_way or (queue and not told):
            while queue and len(under_way) < room and not told:
                under_way.append(begin(*queue.popleft(), call, board, cluster.ranks, cluster.each))
            refs = [ref for attempt in under_way for ref in attempt.refs]
            ready, _ = ray.wait(refs, num_returns=len(refs), timeout=POLL_SECONDS)
            ended = [attempt for attempt in under_way if has_ended(attempt, set(ready))]
            news, now = ray.get(board.news.remote())
            for line in news:
                watcher.finished(line)
            for attempt in ended:
                under_way.remove(attempt)
                if is_lost(attempt) and attempt.number < RETRIES and not told:
                    watcher.finished(f"{attempt.title}: its node was lost; it is started again")
                    queue.append((attempt.planned, attempt.number + 1))
                else:
                    count(tally, attempt)
            done = len(open_) - len(queue) - len(under_way)
            watcher.update(done, len(open_), ", ".join(now[:3]))
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


def check_resources(cluster: Cluster, nodes: Sequence[dict[str, float]]) -> None:
    """Raises ConfigError for what these nodes cannot give, so that Ray would wait for ever."""
    ranks, each = cluster.ranks, cluster.each
    if cluster.gpus_per_run > 1 and cluster.gpus_per_run != ranks:
        raise ConfigError(
            f"--gpus-per-run {cluster.gpus_per_run:g}: give a fraction below 1, or a whole number"
        )
    if each.cpus > 1 and cluster.cpus_per_run % ranks:
        raise ConfigError(
            f"--cpus-per-run {cluster.cpus_per_run}: the {ranks} ranks of a run have as many each. "
            f"Nearest that works: {-(-cluster.cpus_per_run // ranks) * ranks}"
        )
    for name, wanted in (("GPU", cluster.gpus_per_run), ("CPU", cluster.cpus_per_run)):
        there = sum(node.get(name, 0) for node in nodes)
        if wanted > there:
            raise ConfigError(f"a run wants {wanted:g} {name}, the cluster has {there:g}")
    who = "a run" if ranks == 1 else f"each of a run's {ranks} ranks"
    if not any(
        each.cpus <= node.get("CPU", 0) and each.gpus <= node.get("GPU", 0) for node in nodes
    ):
        most = max(nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)))
        raise ConfigError(
            f"{who} wants {each.cpus:g} CPU and {each.gpus:g} GPU of one node, the largest node "
            f"has {most.get('CPU', 0):g} and {most.get('GPU', 0):g}"
        )
