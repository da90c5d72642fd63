"""Tensors of a finished run as safetensors: its encoder and what its method leaves beside it."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from sslbench.disk import write_atomic
from sslbench.errors import Diverged, StoreError
from sslbench.nn.digest import tensors_digest


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
