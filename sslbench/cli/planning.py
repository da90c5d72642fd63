"""From the arguments of a command to a suite and its plan."""

from collections.abc import Sequence
from pathlib import Path

import torch

from sslbench.cli.options import split_list
from sslbench.config import assignments
from sslbench.data.datasets import open_dataset
from sslbench.data.spec import DatasetSpec
from sslbench.environment import check_precision
from sslbench.errors import ConfigError
from sslbench.nn.precision import has_bf16
from sslbench.plan import Environs, Planned, apply_changes, plan
from sslbench.suite import Suite, load_suite


def planned(
    suite: str,
    methods: str | None,
    seeds: str | None,
    changes: list[str],
    data_root: Path | None,
    device: torch.device | None,
) -> tuple[Suite, list[Planned]]:
    """The suite as ``--set`` leaves it, and its runs; ``device``: None where no one can ask it.

    Raises ConfigError with all faults of the arguments and of what they resolve to.
    """
    loaded = load_suite(suite)
    selectors = split_list(methods) if methods is not None else list(loaded.methods)
    if not selectors:
        raise ConfigError("--methods names no method. See: sslbench list")

    environs = environs_of(data_root, device)
    chosen = parse_seeds(seeds) if seeds is not None else list(loaded.seeds)
    changed, of_runs = apply_changes(loaded, assignments(changes))
    runs = plan(changed, selectors, chosen, of_runs, environs)
    if device is not None:
        slow_precision(runs, device)
    return changed, runs


def environs_of(data_root: Path | None, device: torch.device | None) -> Environs:
    """What a plan has to know of this machine and its data."""

    def count(spec: DatasetSpec) -> int:
        return len(open_dataset(spec, data_root).images("train"))

    return Environs(bf16=None if device is None else has_bf16(device), count=count)


def slow_precision(runs: Sequence[Planned], device: torch.device) -> str | None:
    """What to say where the device only emulates a run's precision.

    Raises ConfigError for a precision that it has not.
    """
    return check_precision({run.config.pretrain.precision for run in runs}, device)


def parse_seeds(text: str) -> list[int]:
    """``--seeds`` as numbers. Raises ConfigError for anything else."""
    parts = split_list(text)
    if not parts or not all(part.isdecimal() for part in parts):
        raise ConfigError(f"--seeds {text!r}: expected whole numbers, such as 0,1,2")
    return list(dict.fromkeys(int(part) for part in parts))
