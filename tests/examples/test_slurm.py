"""The scripts for SLURM, run as it would run them: its commands are stand-ins, all else is real."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "examples" / "slurm"
# What the scripts ask of SLURM: the names of the nodes, a place in the queue, a task on each node.
SCONTROL = """#!/bin/sh
case $1 in
    show) echo localhost ;;
    requeue) echo "$2" >> "$QUEUE" ;;
esac
"""
SRUN = """#!/bin/sh
while [ "${1#--}" != "$1" ]; do shift; done
exec "$@"
"""


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """The environment of a job on one node."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("scontrol", SCONTROL), ("srun", SRUN)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    given = {
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NODELIST": "node[1]",
        "SLURM_NNODES": "1",
        "SLURM_GPUS_ON_NODE": "2",
        "SLURM_SUBMIT_DIR": str(ROOT),
        "QUEUE": str(tmp_path / "queue"),
        "PORT": "0",  # torchrun takes one that is free
    }
    path = f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, **given, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "250"}


def _queue(job: dict[str, str]) -> list[str]:
    queue = Path(job["QUEUE"])
    return queue.read_text().split() if queue.exists() else []


def _started(script: str, job: dict[str, str], *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", str(SCRIPTS / script), *words],
        env=job,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("script", ["runs.sbatch", "one_run.sbatch"])
def test_jobs_ask_to_be_told_in_time_and_to_be_queued_again(script: str) -> None:
    options = re.findall(r"^#SBATCH --(\S+)$", (SCRIPTS / script).read_text(), re.MULTILINE)
    assert {"signal=B:USR1@300", "requeue", "open-mode=append"} <= set(options)
    subprocess.run(["bash", "-n", str(SCRIPTS / script)], check=True)


@pytest.mark.parametrize(
    ("command", "code", "queued"),
    [
        ("sleep 30", 143, ["4711"]),  # ended by the signal
        ("trap 'exit 130' TERM; for i in $(seq 300); do sleep 0.1; done", 130, ["4711"]),
        ("trap 'exit 0' TERM; for i in $(seq 300); do sleep 0.1; done", 0, []),  # it was done
    ],
)
def test_what_is_stopped_before_its_end_is_queued_again(
    slurm: dict[str, str], command: str, code: int, queued: list[str]
) -> None:
    with _started("requeue.sh", slurm, "bash", "-c", f"echo begun; {command}") as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "begun\n"
        time.sleep(0.3)  # until its trap is set
        job.send_signal(signal.SIGUSR1)
        assert job.wait(timeout=900) == code
    assert _queue(slurm) == queued


@pytest.mark.parametrize("code", [0, 2])
def test_what_ends_by_itself_is_not_queued_again(slurm: dict[str, str], code: int) -> None:
    with _started("requeue.sh", slurm, "bash", "-c", f"exit {code}") as job:
        assert job.wait(timeout=900) == code
    assert _queue(slurm) == []


@pytest.mark.slow
@pytest.mark.parametrize("script", ["runs.sbatch", "one_run.sbatch"])
def test_a_job_whose_time_is_over_goes_on_from_its_checkpoint(
    slurm: dict[str, str], tmp_path: Path, script: str
) -> None:
    words = ["--suite", "smoke", "--methods", "moco", "--results", str(tmp_path / "results")]
    for setting in ("baselines=[]", "encoder.bn_splits=2", "pretrain.epochs=60"):
        words += ["--set", setting]
    job = _started(script, slurm, *words)
    deadline = time.monotonic() + 900
    while not (found := list(tmp_path.glob("results/runs/moco-*/checkpoint.pt"))):
        assert time.monotonic() < deadline
        assert job.poll() is None, job.communicate()[0]
        time.sleep(0.02)
    job.send_signal(signal.SIGUSR1)
    said, _ = job.communicate(timeout=900)
    assert job.returncode != 0
    assert "queued again" in said
    assert "sslbench: interrupted at step" in said
    assert _queue(slurm) == ["4711"]
    manifest = found[0].parent / "manifest.json"
    assert not manifest.exists()
    again = _started(script, slurm, *words)
    said, _ = again.communicate(timeout=900)
    assert again.returncode == 0, said
    assert json.loads(manifest.read_text())["status"] == "done"
    assert _queue(slurm) == ["4711"]
