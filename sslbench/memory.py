"""Peak memory of a stage: on a GPU what torch allocated, on a CPU the process's resident set."""

import resource
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import torch

from sslbench import allocator

_GIB = 1024**3


class PeakMemory:
    """``with PeakMemory(device) as memory: ...; memory.gib``."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.gib = device, 0.0

    def __enter__(self) -> "PeakMemory":
        allocator.release()  # what earlier stages freed is not this one's
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        elif sys.platform == "linux":
            # Linux resets the high-water mark of the resident set; without it, an earlier and
            # larger stage of the same process would be reported again.
            # Not permitted in some containers: the mark then covers the whole process.
            with suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.device.type == "cuda":
            self.gib = torch.cuda.max_memory_allocated(self.device) / _GIB
        elif sys.platform == "linux":
            status = Path("/proc/self/status").read_text()
            kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
            self.gib = int(kib) * 1024 / _GIB
        else:
            unit = 1 if sys.platform == "darwin" else 1024
            self.gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _GIB
