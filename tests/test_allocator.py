"""Memory between steps and between stages, seen from outside: page faults and resident pages."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc, on Linux")

FAULTS = """
import resource
from sslbench import allocator
if {held}:
    allocator.hold_freed_blocks()
import torch
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(12 * 2**20)  # 48 MiB: more than glibc learns to keep by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""

PEAK = """
from sslbench import allocator
allocator.hold_freed_blocks()
import torch
from sslbench.memory import PeakMemory
torch.ones(2**27)  # 512 MiB, freed and held
with PeakMemory(torch.device("cpu")) as memory:
    torch.ones(2**22)
print(memory.gib)
"""


def _printed(script: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def test_a_block_that_was_freed_is_used_again_without_page_faults() -> None:
    assert _printed(FAULTS.format(held=True)) < 100
    assert _printed(FAULTS.format(held=False)) > 1_000


def test_what_an_earlier_stage_freed_is_no_part_of_a_peak() -> None:
    assert _printed(PEAK) < 0.9  # torch itself takes half a GiB
