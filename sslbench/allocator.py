"""How the process holds the memory that it frees: between steps it keeps it, between stages not."""

import ctypes
import os
import sys
from functools import cache

# glibc's malloc returns a large block to the system as soon as it is freed, and the system zeroes
# it page by page when it is asked for again: up to a quarter of a training step's time on a CPU.
# Blocks up to this size stay with the process between steps; ``release`` gives them back between
# stages.
_KEPT_BYTES = 2**30
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt's names, from malloc.h
_NEVER = 2**31 - 1


def hold_freed_blocks() -> None:
    """Keeps freed blocks for the next step, in huge pages where Linux lends them.

    Called once, before torch is imported; changes no number. Without glibc nothing happens.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch asks for huge pages
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_MMAP_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_TRIM_THRESHOLD, _NEVER)


def release() -> None:
    """Gives what is freed back to the system."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None
