"""A training that is denied memory says which batch would fit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sslbench.train.fitting import may_be_out_of_memory

# The address space is limited when everything is loaded and the data is rendered.
LIMITED = """
import resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from sslbench.cli.planning import planned
from sslbench.errors import SSLBenchError
from sslbench.runner import Runner
from sslbench.store import Store

class Quiet:
    def stage(self, title, number, of): ...
    def update(self, done, total, note): ...
    def finished(self, message): print(message)

changes = ["baselines=[]", "evaluations={}", "tables={}", "pretrain.epochs=1",
           "pretrain.batch_size=%d" % int(sys.argv[2])]
loaded, plan = planned("smoke", "simclr", None, changes, None, torch.device("cpu"))
runner = Runner(Store(Path(sys.argv[1])), data_root=None, download=False,
                device=torch.device("cpu"), workers=0, watcher=Quiet())
runner.examiner.dataset(plan[0].config.pretrain.dataset).images("train")
status = Path("/proc/self/status").read_text()
used = int(next(l.split()[1] for l in status.splitlines() if l.startswith("VmSize"))) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + int(float(sys.argv[3]) * 2**20),) * 2)
tally = runner.run(plan)
print(len(tally.failures))
"""


def _train(results: Path, batch: int, mebibytes: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LIMITED, str(results), str(batch), str(mebibytes)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},
    )


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space, on Linux")
def test_a_run_out_of_memory_is_recorded_with_its_place_and_the_batch_that_fits(
    tmp_path: Path,
) -> None:
    done = _train(tmp_path, 384, 200)
    assert done.returncode == 0, done.stderr
    manifest = json.loads(next(tmp_path.glob("runs/*/manifest.json")).read_text())
    assert manifest["status"] == "failed"
    message = manifest["failure"]["message"]
    assert message.startswith("out of memory with batch 384; a step of batch ")
    assert "in step 1 of" in message
    fits = int(message.partition("--set pretrain.batch_size=")[2].split()[0])
    assert fits in (192, 96, 48, 24, 12, 6, 3)
    # What is advised works, too, with little more than that.
    again = _train(tmp_path / "again", fits, 240)
    manifest = json.loads(next((tmp_path / "again").glob("runs/*/manifest.json")).read_text())
    assert manifest["status"] == "done", again.stdout


def test_only_what_is_denied_memory_counts_as_such() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert may_be_out_of_memory(caught.value)
    assert may_be_out_of_memory(MemoryError())
    assert may_be_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert may_be_out_of_memory(RuntimeError("could not create a primitive"))
    assert not may_be_out_of_memory(RuntimeError("shapes do not fit"))
    assert not may_be_out_of_memory(ValueError("can't allocate memory"))
