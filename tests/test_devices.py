"""Devices and precisions that are not there: one message while planning, before anything trains."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sslbench import environment
from sslbench.cli import planning

Cli = Callable[..., subprocess.CompletedProcess[str]]
BF16 = ("--set", "pretrain.precision=bf16")


@pytest.fixture
def planned(here: Cli, tmp_path: Path) -> Cli:
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        places = ("--results", str(tmp_path / "results"), "--methods", "simclr")
        return here("run", "--suite", "smoke", "--dry-run", *places, *arguments)

    return call


def assert_refused(done: subprocess.CompletedProcess[str], message: str, folder: Path) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.startswith("sslbench: ")
    assert done.stderr.count(message) == 1
    assert len(done.stderr.splitlines()) == 1
    assert not (folder / "results").exists()


@pytest.mark.parametrize(
    # Unknown, misspelt, without numbers, of a package that is not there, of another build.
    "name",
    ["gpu", "CPU", "", "cuda:first", "meta", "hpu", "xpu", "vulkan", "cpu cuda"],
)
def test_a_device_that_cannot_compute_is_refused(name: str, planned: Cli, tmp_path: Path) -> None:
    done = planned("--device", name)
    assert_refused(done, f"--device {name}: not usable here (", tmp_path)
    assert "Here are: auto, cpu" in done.stderr


def test_a_gpu_that_is_not_there_is_refused(planned: Cli, tmp_path: Path) -> None:
    missing = f"cuda:{torch.cuda.device_count()}"
    assert_refused(planned("--device", missing), f"--device {missing}: not usable", tmp_path)


def test_show_and_evaluate_refuse_it_too(here: Cli, tmp_path: Path) -> None:
    weights = tmp_path / "some.pth"
    weights.touch()
    for command in (
        ("show", "simclr", "--suite", "smoke"),
        ("evaluate", "--weights", str(weights), "--suite", "smoke", "--encoder", "resnet18"),
    ):
        done = here(*command, "--device", "gpu")
        assert_refused(done, "--device gpu: not usable here", tmp_path)


def test_float64_is_refused_where_the_device_has_none(
    planned: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(environment, "pick_device", lambda name: torch.device("mps"))
    done = planned("--device", "mps", "--set", "pretrain.precision=fp64")
    assert_refused(done, "pretrain.precision = fp64: device mps has no float64", tmp_path)
    assert planned("--device", "mps", "--set", "pretrain.precision=fp32").returncode == 0


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_that_is_emulated_is_told_in_a_line_and_planned(
    planned: Cli, monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    for module in (environment, planning):
        monkeypatch.setattr(module, "has_bf16", lambda device: native)
    done = planned("--device", "cpu", *BF16)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if "emulated on cpu" in line]
    assert len(told) == (0 if native else 1)


def test_auto_never_takes_an_emulated_precision(
    planned: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (environment, planning):
        monkeypatch.setattr(module, "has_bf16", lambda device: False)
    done = planned("--device", "cpu")
    assert done.returncode == 0
    assert "emulated" not in done.stdout
