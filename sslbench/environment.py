"""What a number was made with: versions, machine, device. Recorded, never part of an identity."""

import os
import platform
import shutil
import subprocess
from collections.abc import Collection
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from textwrap import shorten

import torch

import sslbench
from sslbench import distributed
from sslbench.errors import ConfigError
from sslbench.nn.precision import has_bf16
from sslbench.store import Environment

PACKAGES = ("torch", "torchvision", "timm", "faiss-cpu", "numpy", "pillow", "pyarrow")


def pick_device(name: str) -> torch.device:
    """``auto``, or any device that torch can compute on. Raises ConfigError if it is not there."""
    # cuDNN would round the inputs of fp32 convolutions to TF32's 10 bits, and nothing would say so.
    torch.backends.cudnn.allow_tf32 = False
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()  # "meta" has no numbers to give back
    # AssertionError: not compiled in; ImportError: a device whose own package is missing.
    except (RuntimeError, AssertionError, ImportError) as error:
        first = shorten(str(error).splitlines()[0].rstrip("."), 160, placeholder=" ...")
        raise ConfigError(
            f"--device {name}: not usable here ({first}). Here are: auto, {', '.join(_devices())}"
        ) from error
    return device


def _devices() -> list[str]:
    """What there is to compute on."""
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return ["cpu", *gpus, *(["mps"] if torch.backends.mps.is_available() else [])]


def check_precision(wanted: Collection[str], device: torch.device) -> str | None:
    """A line for those whose precision the device only emulates, or None.

    ``wanted``: the values of ``pretrain.precision`` of all runs. Raises ConfigError for one that
    the device has not at all.
    """
    if "fp64" in wanted and device.type == "mps":
        raise ConfigError(
            f"pretrain.precision = fp64: device {device} has no float64. Use precision: fp32, or "
            "--device cpu"
        )
    if "bf16" in wanted and not has_bf16(device):
        return (
            f"pretrain.precision = bf16 is emulated on {device} here, which is slower than fp32. "
            "The numbers are those of bf16; precision: auto takes fp32."
        )
    return None


def environment(device: torch.device) -> Environment:
    return Environment(
        sslbench=sslbench.__version__,
        commit=commit(),
        python=platform.python_version(),
        packages=_packages(),
        machine=f"{_processor()}, {os.cpu_count()} cores",
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        threads=torch.get_num_threads(),
        devices=distributed.size(),
    )


@cache
def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


@cache
def _processor() -> str:
    """Its name, and what tells those of one name apart: a cloud shows many as "AMD EPYC"."""
    info = Path("/proc/cpuinfo")
    fields: dict[str, str] = {}
    if info.exists():
        for line in info.read_text().partition("\n\n")[0].splitlines():  # the first core
            key, _, value = line.partition(":")
            fields[key.strip()] = value.strip()
    name = fields.get("model name") or platform.processor() or platform.machine()
    marks = [
        f"{key} {fields[of]}"
        for key, of in (("family", "cpu family"), ("model", "model"))
        if of in fields
    ]
    return f"{name} ({', '.join([*marks, torch.backends.cpu.get_cpu_capability()])})"


@cache
def commit() -> str | None:
    """The commit of the checkout that this package lies in, marked if it has changes."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists() or shutil.which("git") is None:
        return None
    done = subprocess.run(
        ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or None
