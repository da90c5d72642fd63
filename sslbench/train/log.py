"""``train.jsonl``: a line of means every so many steps, one of signals when they are measured."""

import json
from pathlib import Path
from typing import Any

from sslbench.disk import write_text, writing
from sslbench.train.tracker import Events


class TrainLog:
    """A file of JSON lines, each with the step that it was written behind, and a tracker's.

    Both of its writers raise UnwritableError where there is no room.
    """

    def __init__(self, path: Path, events: Events | None = None) -> None:
        self.path, self.events = path, events

    def cut(self, step: int) -> None:
        """Drop what an interrupted session wrote behind the ``step`` that training goes on from."""
        kept = [line for line in self._lines() if json.loads(line)["step"] <= step]
        write_text(self.path, "".join(f"{line}\n" for line in kept))
        if self.events is not None:
            with writing(self.path):
                self.events.begin(map(json.loads, kept))

    def write(self, line: dict[str, Any]) -> None:
        with writing(self.path):
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            if self.events is not None:
                self.events.write(line)

    def close(self) -> None:
        if self.events is not None:
            self.events.close()

    def _lines(self) -> list[str]:
        if not self.path.exists():
            return []
        complete = self.path.read_text(encoding="utf-8").split("\n")[:-1]
        return [line for line in complete if line]  # a torn last line has no end
