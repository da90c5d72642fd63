"""What asks to stop: a checkpoint is written, the code says so, the same command goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sslbench.cli.signals import stop_signals

SUITE = """
title: plain colours in files, decoded by workers
methods: [simclr]
baselines: []
datasets:
  plain:
    source: folder
    folder: plain
    levels: [{name: colour, classes: 2}]
    splits: {train: null, test: null}
encoder: {name: resnet18, options: {layers: [1, 1, 1, 1], channels: [4, 4, 8, 8]}, stem: small}
pretrain: {dataset: plain, epochs: 12, batch_size: 8, image_size: 16, augment: crop,
           views_path: workers, optim: {name: sgd, lr: 0.01}}
evaluations: {}
tables: {main: {columns: {Time: pretrain.seconds}}}
"""


@pytest.fixture(scope="module")
def folder(plain_images: Path) -> Path:
    (plain_images / "plain.yaml").write_text(SUITE)
    return plain_images


@pytest.fixture(scope="module")
def whole(folder: Path) -> str:
    """The digest of a run that nothing stopped."""
    subprocess.run(_command(folder, "whole"), check=True, capture_output=True)
    return _digest(folder, "whole")


def _command(folder: Path, results: str) -> list[str]:
    words = ["run", "--suite", str(folder / "plain.yaml"), "--data", str(folder / "data")]
    words += ["--results", str(folder / results), "--workers", "2"]
    return [sys.executable, "-m", "sslbench", *words]


def _digest(folder: Path, results: str) -> str:
    manifest = json.loads(next((folder / results).glob("runs/*/manifest.json")).read_text())
    assert manifest["status"] == "done"
    return str(manifest["encoder_digest"])


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGINT"])
def test_a_signal_to_the_whole_group_stops_after_a_checkpoint_and_nothing_is_lost(
    folder: Path, whole: str, name: str
) -> None:
    """As a scheduler and a terminal send it: to the workers, too, which must not die of it."""
    process = subprocess.Popen(
        _command(folder, name), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 900
    while not list(folder.glob(f"{name}/runs/*/checkpoint.pt")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, getattr(signal, name))
    _, error = process.communicate(timeout=900)
    assert process.returncode == 130, error
    assert "interrupted at step" in error
    assert "Traceback" not in error
    assert not list(folder.glob(f"{name}/runs/*/manifest.json"))
    subprocess.run(_command(folder, name), check=True, capture_output=True)
    assert _digest(folder, name) == whole


def test_only_a_second_ctrl_c_stops_at_once() -> None:
    with stop_signals() as stopped:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stopped()
        os.kill(os.getpid(), signal.SIGTERM)  # the scheduler's limit, while a checkpoint is saved
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
