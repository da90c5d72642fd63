"""Ranks that share a batch compute what one process computes, for every method.

In double precision: what is left is the order of sums. One launch per number of ranks trains all
methods, for starting processes costs more than training here.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sslbench.feature_pass import BATCH
from sslbench.registry import METHODS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("train_all.py")
SETTINGS = ("encoder.bn_splits=2", "pretrain.precision=fp64")
RUN = ["run", "--suite", "smoke", *(word for setting in SETTINGS for word in ("--set", setting))]
Launch = Callable[..., subprocess.CompletedProcess[str]]


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "250"}


def _launched(ranks: int, *words: str) -> list[str]:
    if ranks == 1:
        return [sys.executable, *words]
    starter = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return [*starter, "--nproc-per-node", str(ranks), *words]


def launch(ranks: int, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        _launched(ranks, *words), capture_output=True, text=True, check=False, env=_environment()
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


EVERY = (*METHODS.names(), "hcsc@multicrop", "instdisc@softmax", "cmc@memory-bank")


def _trained(folder: Path, ranks: int) -> Path:
    launch(ranks, str(SCRIPT), str(folder), "fp64", *EVERY)
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _trained(tmp_path_factory.mktemp("alone"), 1)


def _losses(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 4])
def test_every_method_ends_as_in_one_process(alone: Path, tmp_path: Path, ranks: int) -> None:
    """Losses of 20 steps, and weights, statistics, queues, banks and clusters after them."""
    shared = _trained(tmp_path, ranks)
    names = sorted(path.name for path in shared.iterdir())
    assert set(names) == set(EVERY)
    for name in names:
        assert len(_losses(alone / name)) == 20
        assert _losses(shared / name) == pytest.approx(_losses(alone / name), abs=1e-8), name
        one, other = (torch.load(place / name / "state.pt") for place in (alone, shared))
        assert one.keys() == other.keys()
        for key, value in one.items():
            far = (value.double() - other[key].double()).abs().max() if value.numel() else 0.0
            assert far <= 1e-8, f"{name}: {key} is {far} off"


@pytest.mark.slow
def test_in_single_precision_the_first_steps_agree(tmp_path: Path) -> None:
    labels = ("simclr", "moco", "hcsc", "swav", "instdisc")
    for ranks in (1, 2):
        launch(ranks, str(SCRIPT), str(tmp_path / str(ranks)), "fp32", *labels)
    for label in labels:
        one, two = (_losses(tmp_path / str(ranks) / label)[:5] for ranks in (1, 2))
        assert two == pytest.approx(one, rel=1e-5), label


def _scores(results: Path) -> dict[str, float]:
    found = {}
    for path in results.glob("runs/*/evaluations/*.json"):
        tree = json.loads(path.read_text())
        assert tree["status"] == "done", tree["reason"]
        found[path.parent.parent.name + path.stem] = tree["scores"][tree["headline"]]["value"]
    return found


@pytest.mark.slow
def test_what_keeps_a_rank_from_encoding_is_raised_on_the_first_and_nobody_waits(
    tmp_path: Path,
) -> None:
    script = Path(__file__).with_name("encode_all.py")
    launch(2, str(script), str(tmp_path / "found.json"))
    found = json.loads((tmp_path / "found.json").read_text())
    rows, told = zip(*(found[name] for name in found), strict=True)
    assert dict(zip(found, rows, strict=True)) == {
        "whole": 5 * BATCH,
        "on rank 0": 2 * BATCH,
        "on rank 1": 3 * BATCH,  # those of rank 0 before it
        "of another kind on rank 1": BATCH,
        "in the last round": 4 * BATCH,
        "given up": BATCH,
    }
    assert told[:3] == ("", "DataError: 2.png cannot be read", "DataError: 3.png cannot be read")
    assert re.fullmatch(r"RuntimeError: rank 1 on \S+: no more", told[3])
    assert told[4:] == ("DataError: last.png cannot be read", "")


@pytest.mark.slow
def test_the_command_on_two_ranks_gives_the_scores_of_one(tmp_path: Path) -> None:
    clusters = "evaluations.clusters={protocol: clustering, dataset: objects_tiny}"
    command = ["-m", "sslbench", *RUN, "--methods", "simclr,hcsc", "--set", clusters, "--results"]
    for ranks in (1, 2):
        done = launch(ranks, *command, str(tmp_path / str(ranks)))
        assert done.stdout.count("HCSC") >= 1
        assert "Traceback" not in done.stdout + done.stderr
    one, two = (_scores(tmp_path / str(ranks)) for ranks in (1, 2))
    assert one.keys() == two.keys()
    image = 100 / 120  # of the smallest test set, in percent
    assert two == pytest.approx(one, abs=image + 1e-9)
    again = launch(2, *command, str(tmp_path / "2"))
    assert "Nothing to do" in again.stdout
    manifest = json.loads(next((tmp_path / "2").glob("runs/hcsc-*/manifest.json")).read_text())
    assert manifest["environment"]["devices"] == 2


@pytest.mark.slow
def test_a_killed_rank_costs_a_restart_and_nothing_else(tmp_path: Path) -> None:
    """torchrun starts all ranks again; each takes its part of the bank from a checkpoint."""
    words = ["-m", "sslbench", *RUN, "--methods", "instdisc", "--set", "baselines=[]"]
    words += ["--set", "pretrain.epochs=30", "--results"]
    launch(2, *words, str(tmp_path / "whole"))
    command = _launched(2, *words, str(tmp_path / "killed"))
    command.insert(command.index("--nproc-per-node"), "--max-restarts=2")
    process = subprocess.Popen(
        command, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 900
    while not list(tmp_path.glob("killed/runs/instdisc-*/checkpoint.pt")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(_ranks_of(process.pid)[-1], signal.SIGKILL)
    said, _ = process.communicate(timeout=900)
    assert process.returncode == 0, said
    digests = []
    for name in ("whole", "killed"):
        manifest = json.loads(next((tmp_path / name).glob("runs/*/manifest.json")).read_text())
        digests.append((manifest["status"], manifest["encoder_digest"]))
    assert digests[0] == digests[1]
    assert _scores(tmp_path / "whole") == _scores(tmp_path / "killed")


def _ranks_of(agent: int) -> list[int]:
    """The processes that torchrun has started."""
    children = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
    return [int(number) for number in children]


FAULTS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "a batch and chunks that two ranks do not divide": (
        ["--set", "pretrain.batch_size=63", "--set", "encoder.bn_splits=1"],
        (
            "2 ranks do not divide it. Nearest that works: 64",
            "statistics over ranks need GPUs. Nearest that works: 2",
        ),
    ),
    "data that is not there": (["--suite", "cifar10-mini", "--data", "/nowhere"], ("no folder",)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_said_once_before_anything_is_trained(tmp_path: Path, name: str) -> None:
    words, messages = FAULTS[name]
    command = ["-m", "sslbench", *RUN, "--methods", "simclr", *words, "--results", str(tmp_path)]
    done = launch(2, *command, check=False)
    assert done.returncode != 0
    assert done.stderr.count("sslbench: ") == 1, done.stderr
    assert all(message in done.stderr for message in messages), done.stderr
    assert not list(tmp_path.glob("runs/*/encoder.safetensors"))


# What stands in for another checkout or other files on the machine of rank 1.
PATCHED = """
import sys
import sslbench.following
from sslbench.cli import main
from sslbench.data.datasets import LabelledDataset
{patch}
sys.argv = ["sslbench", *sys.argv[1:]]
main()
"""
OTHER_CODE = "sslbench.following.commit = lambda: 'another'"
OTHER_DATA = "LabelledDataset.digest = 'another'"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "message", "code"),
    [
        ("pretrain.optim.lr=0.01", "plans differ between ranks", 2),
        ("results", "is not the one of rank 0", 2),
        (OTHER_CODE, "code differ between ranks", 2),
        (OTHER_DATA, "images of objects_tiny differ between ranks", 1),
    ],
)
def test_ranks_that_were_started_unlike_do_not_begin(
    tmp_path: Path, given: str, message: str, code: int
) -> None:
    processes: list[subprocess.Popen[Any]] = []
    with socket.create_server(("", 0)) as free:
        port = str(free.getsockname()[1])
    for rank in range(2):
        place = tmp_path / (f"results-{rank}" if given == "results" else "results")
        words = [*RUN, "--methods", "simclr", "--results", str(place)]
        if rank and given.startswith("pretrain"):
            words += ["--set", given]
        patch = given if rank and given in (OTHER_CODE, OTHER_DATA) else ""
        environment = {
            **_environment(),
            **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"},
            **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
        }
        command = [sys.executable, "-c", PATCHED.format(patch=patch), *words]
        processes.append(
            subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        )
    told = [process.communicate(timeout=900)[1] for process in processes]
    assert not list(tmp_path.glob("*/runs/*/encoder.safetensors"))
    assert [process.returncode for process in processes] == [code, code], told
    assert message in told[0]
    assert code == 1 or "sslbench:" not in told[1]  # said once, but for what shows in a run
