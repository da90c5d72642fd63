"""Keeps oneDNN's AMX kernels out of the process, where the processor has AMX."""

import os
from pathlib import Path

# oneDNN reads the first name, and the second from its older days.
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_WITHOUT_AMX = "AVX512_CORE_BF16"


def leave_out(processor: Path = Path("/proc/cpuinfo")) -> None:
    """Called once, before torch is imported. Leaves a limit alone that the user has set.

    SimCLR of suite ``quick``, seed 0, on a Xeon with AMX: with it and two threads bf16 ended at
    kNN 27.9, with one thread at 41.2, in fp32 at 37.7, and without AMX, two threads, at 41.4 and
    as fast. pytorch/pytorch#169688 has other wrong bf16 convolutions on such a processor.
    """
    if any(name in os.environ for name in _LIMITS):
        return
    if processor.exists() and "amx_bf16" in processor.read_text():
        os.environ[_LIMITS[0]] = _WITHOUT_AMX
