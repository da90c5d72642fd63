"""A training that is denied memory says which batch would fit.

The denial is torch's own, of an allocation that no machine can grant: under a real limit of the
address space libraries below torch end the process instead.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sslbench.cli.planning import planned
from sslbench.runner import Runner
from sslbench.store import Store
from sslbench.train.fitting import may_be_out_of_memory
from sslbench.train.step import Step

CPU = torch.device("cpu")
CHANGES = ["baselines=[]", "tables={main: {columns: {Time: pretrain.seconds}}}"]


class Quiet:
    def stage(self, title: str, number: int, of: int) -> None: ...

    def update(self, done: int, total: int, note: str) -> None: ...

    def finished(self, message: str) -> None: ...


def _manifest(results: Path, monkeypatch: pytest.MonkeyPatch, fits: int) -> dict[str, Any]:
    """Of a run of batch 128 where a step of more than ``fits`` images finds no memory."""
    step = Step.__call__

    def starved(self: Step, *given: Any) -> dict[str, torch.Tensor]:
        if self.data.batch_size > fits:
            torch.empty(2**60, dtype=torch.uint8)
        return step(self, *given)

    monkeypatch.setattr(Step, "__call__", starved)
    _, plan = planned("smoke", "moco", None, [*CHANGES, "pretrain.batch_size=128"], None, CPU)
    plan = [row for row in plan if row.label == "moco"]
    runner = Runner(
        Store(results),
        data_root=None,
        download=False,
        device=CPU,
        workers=0,
        watcher=Quiet(),
    )
    tally = runner.run(plan)
    manifest: dict[str, Any] = json.loads(next(results.glob("runs/*/manifest.json")).read_text())
    assert tally.failures == [f"moco (seed 0) pre-training: {manifest['failure']['message']}"]
    return manifest


def test_a_run_out_of_memory_is_recorded_with_its_place_and_the_batch_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = _manifest(tmp_path, monkeypatch, fits=40)
    assert manifest["status"] == "failed"
    message = manifest["failure"]["message"]
    assert message.startswith(
        "out of memory with batch 128; a step of batch 32 fits here: --set pretrain.batch_size=32 ("
    )
    assert "in step 1 of 6" in message
    assert [path.name for path in tmp_path.glob("runs/*/*.safetensors")] == []


def test_where_no_batch_fits_the_failure_is_not_blamed_on_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = _manifest(tmp_path, monkeypatch, fits=0)["failure"]["message"]
    assert message.startswith("RuntimeError: ")
    assert message.endswith("; no smaller batch was found to fit")


def test_only_what_is_denied_memory_counts_as_such() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert may_be_out_of_memory(caught.value)
    assert may_be_out_of_memory(MemoryError())
    assert may_be_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert may_be_out_of_memory(RuntimeError("could not create a primitive"))
    assert not may_be_out_of_memory(RuntimeError("shapes do not fit"))
    assert not may_be_out_of_memory(ValueError("can't allocate memory"))
