"""What this machine has of what a run needs: cores, memory, disk, devices, packages, data sets."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from sslbench import __version__
from sslbench.data.datasets import check_dataset
from sslbench.data.rendered.cache import cache_folder
from sslbench.data.spec import catalogue, dataset_spec
from sslbench.disk import GIB
from sslbench.environment import environment, pick_device
from sslbench.nn.precision import has_bf16

LITTLE_MEMORY, LITTLE_DISK = 4.0, 5.0  # GiB: `quick` needs 1.5, an ImageNet run's features 6


@dataclass(frozen=True)
class Fact:
    """One line about the machine, with a remark where a user may want to act."""

    name: str
    value: str
    remark: str = ""


def machine(results: Path) -> list[Fact]:
    """Cores, memory, disk and devices, and what results depend on besides the seed."""
    device = pick_device("auto")
    here = environment(device)
    facts = [
        Fact("sslbench", f"{__version__}, commit {here.commit or 'unknown'}"),
        Fact("Python", here.python),
        *(Fact(name, version) for name, version in here.packages.items()),
        Fact("processor", here.machine),
        Fact("threads", str(here.threads), "another number rounds sums otherwise"),
        _memory(),
        _disk("results", results),
        Fact("device", here.device),
        Fact("precision: auto", "bf16" if has_bf16(device) else "fp32"),
    ]
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA")
    if limit:
        facts.append(Fact("oneDNN", limit, "the instructions that it may use"))
    cache = cache_folder()
    if cache is not None:
        facts.append(_disk("cache", cache))
    return facts


def data_sets(root: Path | None) -> list[Fact]:
    """Every data set of the catalogue, found or not."""
    found = []
    for name in sorted(catalogue()):
        faults = check_dataset(dataset_spec(name), root)
        found.append(Fact(name, "missing" if faults else "found", faults[0] if faults else ""))
    return found


def _memory() -> Fact:
    if sys.platform != "linux":
        return Fact("memory", "unknown")
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total, free = (int(lines[key].split()[0]) / 2**20 for key in ("MemTotal", "MemAvailable"))
    remark = "little for a run" if free < LITTLE_MEMORY else ""
    return Fact("memory", f"{total:.1f} GiB, {free:.1f} available", remark)


def _disk(name: str, folder: Path) -> Fact:
    there = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(there).free / GIB
    remark = "little for features and checkpoints" if free < LITTLE_DISK else ""
    if not os.access(there, os.W_OK):
        remark = "cannot be written"
    return Fact(name, f"{folder}, {free:.1f} GiB free", remark)
