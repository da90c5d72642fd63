"""From the arguments of a command to a suite and its plan."""

from pathlib import Path

import torch

from sslbench.cli.options import split_list
from sslbench.config import assignments
from sslbench.data.datasets import open_dataset
from sslbench.data.spec import DatasetSpec
from sslbench.environment import has_bf16
from sslbench.errors import ConfigError
from sslbench.plan import Environs, Planned, apply_changes, plan
from sslbench.suite import Suite, load_suite


def planned(
    suite: str,
    methods: str | None,
    seeds: str | None,
    changes: list[str],
    data_root: Path | None,
    device: torch.device,
) -> tuple[Suite, list[Planned]]:
    """The suite as ``--set`` leaves it, and its runs.

    Raises ConfigError with all faults of the arguments and of what they resolve to.
    """
    loaded = load_suite(suite)
    selectors = split_list(methods) if methods is not None else list(loaded.methods)
    if not selectors:
        raise ConfigError("--methods names no method. See: sslbench list")

    def count(spec: DatasetSpec) -> int:
        return len(open_dataset(spec, data_root).images("train"))

    environs = Environs(bf16=has_bf16(device), count=count)
    chosen = parse_seeds(seeds) if seeds is not None else list(loaded.seeds)
    changed, of_runs = apply_changes(loaded, assignments(changes))
    return changed, plan(changed, selectors, chosen, of_runs, environs)


def parse_seeds(text: str) -> list[int]:
    """``--seeds`` as numbers. Raises ConfigError for anything else."""
    parts = split_list(text)
    if not parts or not all(part.isdecimal() for part in parts):
        raise ConfigError(f"--seeds {text!r}: expected whole numbers, such as 0,1,2")
    return list(dict.fromkeys(int(part) for part in parts))
