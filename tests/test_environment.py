"""What a record says of the machine that made it."""

import re
from pathlib import Path

import pytest
import torch

from sslbench.environment import environment


@pytest.mark.skipif(
    "model name" not in Path("/proc/cpuinfo").read_text(), reason="an x86 machine with Linux"
)
def test_processors_of_one_name_are_told_apart_by_family_model_and_instructions() -> None:
    machine = environment(torch.device("cpu")).machine
    capability = torch.backends.cpu.get_cpu_capability()
    found = re.fullmatch(rf".+ \(family (\d+), model (\d+), {capability}\), \d+ cores", machine)
    assert found is not None, machine
    family, model = found.groups()
    lines = [line.split() for line in Path("/proc/cpuinfo").read_text().splitlines()]
    assert ["cpu", "family", ":", family] in lines
    assert ["model", ":", model] in lines
