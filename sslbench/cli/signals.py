"""Ctrl-C, termination and a scheduler's warning as a wish that long work asks about."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from sslbench.stopping import SIGNALS


@contextmanager
def stop_signals() -> Iterator["Stop"]:
    """The first of the signals asks for a checkpoint; Ctrl-C after it stops at once."""
    stop = Stop()
    before = {number: signal.signal(number, stop.asked) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Stop:
    """Whether the user asked to stop."""

    def __init__(self) -> None:
        self.wanted = False

    def __call__(self) -> bool:
        return self.wanted

    def asked(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.wanted and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.wanted = True
