"""Saving a run in the middle and exporting its encoder at the end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sslbench.errors import Diverged, StoreError
from sslbench.nn.digest import tensors_digest
from sslbench.store import write_atomic

FORMAT = 2  # of what the trainer keeps in a checkpoint; 1 had no health


def save_checkpoint(path: Path, run_hash: str, state: Mapping[str, Any]) -> None:
    """Atomic; the hash says which run the state belongs to."""
    payload = {"format": FORMAT, "run": run_hash, **state}
    write_atomic(path, lambda temporary: torch.save(payload, temporary))


def load_checkpoint(path: Path, run_hash: str, device: torch.device) -> dict[str, Any] | None:
    """The state of this very run, or None where there is none.

    Loaded weights-only: no code in the file is run. Raises StoreError if the file is damaged,
    belongs to another run or was written by a version that kept other things.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises a dozen kinds for a damaged file
        raise StoreError(
            f"{path}: damaged checkpoint ({type(error).__name__}). Remove it to begin anew"
        ) from error
    if state.get("format") != FORMAT:
        raise StoreError(f"{path}: of another version of sslbench. Remove it to begin anew")
    if state.get("run") != run_hash:
        raise StoreError(f"{path}: belongs to run {state.get('run')!r}, expected {run_hash!r}")
    return state


def export_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Tensors as safetensors, and the digest of what is in them.

    Raises Diverged if one is not finite; then no file is written.
    """
    bad = [name for name, t in tensors.items() if t.is_floating_point() and not t.isfinite().all()]
    if bad:
        raise Diverged(f"{', '.join(bad[:3])} of {path.name} not finite: training has diverged")
    plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    write_atomic(path, lambda temporary: save_file(plain, temporary))
    return tensors_digest(plain)


def import_tensors(path: Path, digest: str | None = None) -> dict[str, Tensor]:
    """Tensors of a safetensors file. Raises StoreError if damaged, or not of the given digest."""
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except Exception as error:  # safetensors raises its own kind, and OSError
        raise StoreError(f"{path}: cannot be read ({error})") from error
    if digest is not None and tensors_digest(tensors) != digest:
        raise StoreError(f"{path}: its tensors are not those that its manifest names")
    return tensors
