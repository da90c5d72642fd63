"""faiss, its products made with the instructions that the processor has.

The wheels of faiss bring OpenBLAS 0.3.15, which takes a processor made after it for one of 2004
(Intel, https://github.com/OpenMathLib/OpenBLAS/pull/3485, in 0.3.19) or of 2007 (AMD's Zen 5,
https://github.com/OpenMathLib/OpenBLAS/issues/3620): k-means and searches then take two to three
times as long. Which kernels it uses is read from the environment when it is loaded.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy  # noqa: F401  (loaded before: numpy's own OpenBLAS is newer, and shall choose for itself)

_CHOICE = "OPENBLAS_CORETYPE"
_MAKERS = "GenuineIntel", "AuthenticAMD"
_KERNELS = {"avx512bw": "SkylakeX", "avx2": "Haswell"}  # what a flag allows, the best first


def kernels(processor: str) -> str | None:
    """OpenBLAS' name for what suits a processor (/proc/cpuinfo); None where it knows by itself."""
    if not any(maker in processor for maker in _MAKERS):
        return None
    lines = (line.split() for line in processor.splitlines() if line.startswith("flags"))
    flags = next(lines, [])
    return next((name for flag, name in _KERNELS.items() if flag in flags), None)


@contextmanager
def _told() -> Iterator[None]:
    """What a user has set stands; other libraries are told nothing."""
    processor = Path("/proc/cpuinfo")
    name = kernels(processor.read_text()) if processor.exists() else None
    if name is None or _CHOICE in os.environ:
        yield
        return
    os.environ[_CHOICE] = name
    try:
        yield
    finally:
        del os.environ[_CHOICE]


with _told():
    import faiss

__all__ = ["faiss", "kernels"]
