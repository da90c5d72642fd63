"""The signals that ask to stop: Ctrl-C, termination, and a scheduler's warning ahead of a limit."""

import signal

# SIGUSR1 is what SLURM sends (sbatch --signal); Windows has none.
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)
