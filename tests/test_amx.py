"""oneDNN's instruction set, as oneDNN itself names it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sslbench import amx

CONVOLVED = """
import sys
from pathlib import Path
from sslbench import amx
amx.leave_out(Path(sys.argv[1]))
import torch
torch.conv2d(torch.ones(2, 16, 8, 8), torch.ones(16, 16, 3, 3))
"""
LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")


@pytest.fixture
def no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LIMITS:
        monkeypatch.setenv(name, "")  # so that what the test sets is undone
        monkeypatch.delenv(name)


def _processor(folder: Path, flags: str) -> Path:
    path = folder / "cpuinfo"
    path.write_text(f"processor\t: 0\nflags\t\t: fpu sse2 {flags}\n")
    return path


def _instructions(processor: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", CONVOLVED, str(processor)],
        env={**os.environ, "ONEDNN_VERBOSE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return next(line for line in done.stdout.splitlines() if ",isa:" in line)


@pytest.mark.usefixtures("no_limit")
def test_onednn_computes_without_amx_where_the_processor_has_it(tmp_path: Path) -> None:
    line = _instructions(_processor(tmp_path, "avx512_bf16 amx_bf16 amx_tile"))
    assert "AMX" not in line


@pytest.mark.usefixtures("no_limit")
def test_the_limit_is_the_best_set_without_amx(tmp_path: Path) -> None:
    amx.leave_out(_processor(tmp_path, "avx512_bf16 amx_bf16 amx_tile"))
    assert os.environ[LIMITS[0]] == "AVX512_CORE_BF16"


@pytest.mark.usefixtures("no_limit")
def test_onednn_obeys_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMITS[0], "SSE41")
    assert "SSE4.1" in _instructions(_processor(tmp_path, "amx_bf16"))


@pytest.mark.usefixtures("no_limit")
def test_a_processor_without_amx_gets_no_limit(tmp_path: Path) -> None:
    amx.leave_out(_processor(tmp_path, "avx512_bf16"))
    amx.leave_out(tmp_path / "none")
    assert not any(name in os.environ for name in LIMITS)


@pytest.mark.usefixtures("no_limit")
@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_of_the_users_own_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "AVX2")
    amx.leave_out(_processor(tmp_path, "amx_bf16"))
    assert {key: os.environ[key] for key in LIMITS if key in os.environ} == {name: "AVX2"}
