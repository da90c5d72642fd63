"""Real Ray clusters on this machine: raylets of their own, loopback addresses."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAD = {"num_cpus": 1, "num_gpus": 0, "include_dashboard": False}


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Of a command that is run on such a cluster."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "250", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def cluster_of() -> Callable[[int, int], AbstractContextManager[Any]]:
    """A head without room for runs, and nodes with a core each, which claim so many GPUs."""

    @contextmanager
    def started(others: int, gpus: int) -> Iterator[Any]:
        pytest.importorskip("ray", reason="pip install ray")
        from ray.cluster_utils import Cluster

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(ROOT))  # of the workers, too
            cluster = Cluster(initialize_head=True, head_node_args=HEAD)
            cluster.others = [cluster.add_node(num_cpus=1, num_gpus=gpus) for _ in range(others)]
            cluster.wait_for_nodes()
            yield cluster
            cluster.shutdown()

    return started
