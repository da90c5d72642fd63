"""A few of each of the trials that ``make soak`` makes by the hundred."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FEW = """
import torch
torch.set_num_threads(1)
from tests.soak.{module} import {name}
for count in {call}:
    print(count.name, count.tried, count.held, *count.failures[:3], sep="; ", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "call", "tried"),
    [
        ("kills", "kills(4, ('hcsc', 'simclr'))", 8),
        ("torn", "torn(20)", 20),
        ("full_disk", "full_disk(sizes=2, every=18)", 6),
        ("mutations", "mutations(15, 10, 15)", 41),
        ("leaks", "leaks(15)", 15),
    ],
)
def test_a_few_trials_of_each_kind_hold(module: str, call: str, tried: int) -> None:
    """In a process of its own, which forks before anything is computed."""
    script = FEW.format(module=module, name=call.partition("(")[0], call=call)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    counts = [line.split("; ") for line in done.stdout.splitlines() if line.count("; ") >= 2]
    for name, given, held, *failures in counts:
        assert held == given, (name, failures)
    assert sum(int(given) for _, given, *_ in counts) >= tried
