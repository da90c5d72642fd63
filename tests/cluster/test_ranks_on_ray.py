"""Runs of several ranks on a real Ray cluster, whose nodes claim GPUs and compute on CPUs."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SETTINGS = ("baselines=[]", "encoder.bn_splits=2", "pretrain.precision=fp64", "pretrain.epochs=25")
RUN = ["run", "--suite", "smoke", *(word for setting in SETTINGS for word in ("--set", setting))]


@pytest.fixture(scope="module")
def nodes(cluster_of: Any) -> Iterator[Any]:
    with cluster_of(3, 1) as cluster:
        yield cluster


def _command(results: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "sslbench", *RUN, *more, "--results", str(results)]


def _on(nodes: Any, results: Path, *more: str) -> list[str]:
    words = ["--executor", "ray", "--address", nodes.address, "--gpus-per-run", "2"]
    return _command(results, *words, *more)


def _losses(results: Path) -> list[float]:
    path = next(results.glob("runs/*/train.jsonl"))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.mark.slow
def test_two_ranks_on_two_nodes_end_as_one_process_though_a_node_is_lost(
    nodes: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    subprocess.run(
        _command(tmp_path / "alone", "--methods", "moco"),
        env=environment,
        capture_output=True,
        check=True,
    )
    process = subprocess.Popen(
        _on(nodes, tmp_path / "ranks", "--methods", "moco"),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 900
    while not (found := list(tmp_path.glob("ranks/runs/moco-*/checkpoint.pt"))):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    run = found[0].parent
    assert not (run / "encoder.safetensors").exists()
    nodes.remove_node(_of_a_rank(nodes), allow_graceful=False)
    said, _ = process.communicate(timeout=900)
    assert process.returncode == 0, said
    assert "its node was lost; it is started again" in said
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["status"] == "done"
    assert manifest["environment"]["devices"] == 2
    assert _losses(tmp_path / "ranks") == pytest.approx(_losses(tmp_path / "alone"), abs=1e-8)
    again = subprocess.run(
        _on(nodes, tmp_path / "ranks", "--methods", "moco"),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Nothing to do" in again.stdout


def _of_a_rank(nodes: Any) -> Any:
    """A node whose raylet has a worker that trains now."""
    return next(
        node
        for node in nodes.others
        if any("ray::work" in name for name in _commands_below(_raylet(node)))
    )


def _raylet(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def _commands_below(process: int) -> list[str]:
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [Path(f"/proc/{child}/cmdline").read_bytes().decode() for child in children]


@pytest.mark.slow
def test_a_fault_of_what_ranks_share_is_said_before_any_of_them_starts(
    nodes: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [
            *_on(nodes, tmp_path, "--methods", "moco"),
            *("--set", "pretrain.batch_size=63", "--set", "encoder.bn_splits=1"),
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "2 ranks do not divide it. Nearest that works: 64" in done.stderr
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.slow
def test_what_all_ranks_refuse_is_a_failure_of_its_run_and_not_a_lost_node(
    nodes: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    """The command takes the nodes at their word; they know that they have no GPU."""
    done = subprocess.run(
        _on(nodes, tmp_path, "--methods", "moco", "--set", "encoder.bn_splits=1"),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    said = done.stdout + done.stderr
    assert "statistics over ranks need GPUs. Nearest that works: 2" in said
    assert "started again" not in said
    assert "Traceback" not in said
