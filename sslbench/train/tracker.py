"""Event files for TensorBoard, of the very lines that go to ``train.jsonl``.

They are no record: nothing reads them back, and no run's hash holds that they were asked for.
"""

import time
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sslbench.errors import ConfigError

TENSORBOARD = "tensorboard"  # the tracker's name, the package's and the extra's
FOLDER = "events"  # in the run's
POSITION = ("step", "epoch", "seconds")  # of a line: the axes, not the values


def check_tracker(name: str) -> None:
    """Raises ConfigError for an unknown tracker, or one whose package is not installed."""
    if name != TENSORBOARD:
        raise ConfigError(f"--tracker {name}: no such tracker. Known: {TENSORBOARD}")
    if find_spec(TENSORBOARD) is None:
        raise ConfigError(
            f"--tracker {name}: the package {TENSORBOARD} is not installed. "
            f"pip install 'sslbench[{TENSORBOARD}]'"
        )


class Events:
    """The event file of one run: a scalar per number of a line, at the line's step.

    The time of an event is the time that training took until then, so pauses do not show.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer: Any = None  # before the first line: a run may fail until then
        self._start = 0.0

    def begin(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Starts anew with the lines of earlier sessions: no point is there twice."""
        from torch.utils.tensorboard import SummaryWriter

        for path in self.folder.glob("events.out.tfevents.*"):
            path.unlink()
        kept = list(lines)
        self._start = time.time() - (kept[-1]["seconds"] if kept else 0.0)
        self._writer = SummaryWriter(str(self.folder))
        for line in kept:
            self.write(line)

    def write(self, line: Mapping[str, Any]) -> None:
        """``line``: as ``train.jsonl`` has it. Signals of health are called health/NAME."""
        for name, value in _scalars(line).items():
            self._writer.add_scalar(name, value, line["step"], self._start + line["seconds"])

    def close(self) -> None:
        """Whatever waits is written."""
        if self._writer is not None:
            self._writer.close()


def _scalars(line: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in line.items():
        if name in POSITION:
            continue
        group = value if isinstance(value, Mapping) else {"": value}
        found |= {f"{name}/{key}" if key else name: number for key, number in group.items()}
    return found
