"""Progress for people: bars with ETA on a terminal, plain lines elsewhere."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE_SECONDS = 15.0  # between two plain lines of one stage


class ProgressWatcher:
    """The ``Watcher`` of a call. Two bars: all stages, and the steps of the current one."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = console.is_terminal
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=console,
            disable=not self.live,
        )
        self._all = self._bars.add_task("stages", total=None, note="")
        self._now = self._bars.add_task("", total=None, note="", visible=False)
        self._began = self._printed = time.monotonic()
        self._title = ""

    def __enter__(self) -> "ProgressWatcher":
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def stage(self, title: str, number: int, of: int) -> None:
        self._title = f"[{number}/{of}] {title}"
        self._began = self._printed = time.monotonic()
        self._bars.update(self._all, total=of, completed=number - 1)
        self._bars.reset(self._now, total=None, description=title, note="", visible=True)

    def update(self, done: int, total: int, note: str) -> None:
        if self.live:
            self._bars.update(self._now, completed=done, total=total, note=note)
            return
        now = time.monotonic()
        if now - self._printed >= LINE_SECONDS:
            self._printed = now
            left = (now - self._began) / max(done, 1) * (total - done)
            detail = f", {note}" if note else ""
            self.console.print(
                f"{self._title}: {done}/{total}{detail}, about {left:.0f} s left",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )

    def finished(self, message: str) -> None:
        self._bars.update(self._all, advance=1)
        self.console.print(message, highlight=False, markup=False, soft_wrap=True)
