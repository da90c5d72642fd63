"""A real Ray cluster of three nodes on this machine: raylets of their own, loopback addresses."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sslbench.cluster import Cluster
from sslbench.cluster.board import board_here
from sslbench.cluster.driver import check_resources
from sslbench.errors import ConfigError

RUNS = ["--methods", "simclr,moco,pcl,hcsc", "--set", "baselines=[]", "--set", "pretrain.epochs=1"]


@pytest.fixture(scope="module")
def nodes(cluster_of: Any) -> Iterator[Any]:
    with cluster_of(2, 0) as cluster:
        yield cluster


def _command(address: str, results: Path, *more: str) -> list[str]:
    words = ["run", "--suite", "smoke", *RUNS, "--executor", "ray", "--address", address]
    return [sys.executable, "-m", "sslbench", *words, "--results", str(results), *more]


def _node(*_: Any) -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


def _done(results: Path) -> list[str]:
    found = []
    for path in results.glob("runs/*/manifest.json"):
        tree = json.loads(path.read_text())
        found += [tree["run"]] if tree["status"] == "done" else []
    return found


@pytest.mark.slow
def test_a_plan_survives_the_loss_of_a_node_and_every_run_is_there_once(
    nodes: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    process = subprocess.Popen(
        _command(nodes.address, tmp_path, "--seeds", "0,1,2,3,4,5"),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 900
    while len(_done(tmp_path)) < 6:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    nodes.remove_node(nodes.others.pop(), allow_graceful=False)
    said, _ = process.communicate(timeout=900)
    assert process.returncode == 0, said
    assert len(_done(tmp_path)) == len(set(_done(tmp_path))) == 24
    records = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/evaluations/*.json")]
    assert len(records) == 24 * 5
    assert {record["status"] for record in records} == {"done"}
    assert not list(tmp_path.glob(".cluster-*"))
    again = subprocess.run(
        _command(nodes.address, tmp_path, "--seeds", "0,1,2,3,4,5"),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Nothing to do: all 144 stages have their records" in again.stdout


@pytest.mark.slow
def test_the_board_lies_on_the_node_of_the_command_so_no_other_node_takes_the_plan_with_it(
    nodes: Any,
) -> None:
    import ray

    ray.init(nodes.address, log_to_driver=False, include_dashboard=False)
    try:
        boards = [board_here() for _ in range(4)]
        places = ray.get([board.__ray_call__.remote(_node) for board in boards])
        assert set(places) == {_node()}
    finally:
        ray.shutdown()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"gpus_per_run": 1.5}, "give a fraction below 1, or a whole number"),
        ({"gpus_per_run": 2, "cpus_per_run": 5}, "have as many each. Nearest that works: 6"),
        ({"gpus_per_run": 9}, "a run wants 9 GPU, the cluster has 8"),
        ({"cpus_per_run": 99}, "a run wants 99 CPU, the cluster has 24"),
        ({"cpus_per_run": 9}, "a run wants 9 CPU and 0 GPU of one node, the largest node has 8"),
        (
            {"gpus_per_run": 2, "cpus_per_run": 18},
            "each of a run's 2 ranks wants 9 CPU and 1 GPU of one node",
        ),
    ],
)
def test_what_no_node_has_is_refused(asked: dict[str, Any], message: str) -> None:
    nodes = [{"CPU": 8.0, "GPU": 4.0}] * 2 + [{"CPU": 8.0}]
    with pytest.raises(ConfigError) as caught:
        check_resources(Cluster(**asked), nodes)
    assert message in str(caught.value)


def test_what_some_node_has_is_not_refused() -> None:
    nodes = [{"CPU": 8.0, "GPU": 4.0}, {"CPU": 64.0}]
    for asked in ({"cpus_per_run": 64}, {"gpus_per_run": 4, "cpus_per_run": 8}):
        check_resources(Cluster(**asked), nodes)


@pytest.mark.slow
def test_what_no_node_has_is_said_before_anything_runs(
    nodes: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        _command(nodes.address, tmp_path, "--cpus-per-run", "2"),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "a run wants 2 CPU and 0 GPU of one node, the largest node has 1" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("runs/*"))


def test_options_of_a_cluster_without_one_are_refused(here: Any) -> None:
    for words, message in (
        (("--address", "auto"), "go with --executor ray"),
        (("--executor", "slurm"), "expected ray"),
        (("--executor", "ray", "--device", "cpu"), "a run takes what its node gives it"),
        (("--executor", "ray", "--fail-fast"), "one does not end others"),
        (("--executor", "ray", "--gpus-per-run", "1"), "--set pretrain.precision=bf16, or fp32"),
    ):
        done = here("run", "--suite", "smoke", *words)
        assert done.returncode == 2
        assert message in done.stderr
