"""Where the tasks of a plan write what they do, and read what they are to know."""

import time
from contextlib import suppress
from typing import Any

POLL_SECONDS = 1.0


class Board:
    """An actor of Ray's."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.current: dict[str, str] = {}
        self.stopping = False
        self.places: dict[str, tuple[str, int]] = {}

    def finished(self, line: str) -> None:
        self.lines.append(line)

    def at(self, run: str, note: str | None) -> None:
        self.current.pop(run, None)
        if note is not None:
            self.current[run] = note

    def news(self) -> tuple[list[str], list[str]]:
        lines, self.lines = self.lines, []
        return lines, list(self.current.values())

    def stop(self) -> None:
        self.stopping = True

    def is_stopping(self) -> bool:
        return self.stopping

    def meet(self, attempt: str, place: tuple[str, int]) -> None:
        """Rank 0 of an attempt says at which address and port it waits for the others."""
        self.places[attempt] = place

    def place(self, attempt: str) -> tuple[str, int] | None:
        return self.places.get(attempt)


def board_here() -> Any:
    """A board on this machine, which is lost only with the command itself.

    Ray would place it anywhere; where it fell on a node that is lost, the plan ended with it.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(Board).remote()


class Reporter:
    """The watcher of a task: tells the board, but not at every step."""

    def __init__(self, board: Any, run: str) -> None:
        self.board, self.run = board, run
        self.title, self.told, self.asked, self.stop = "", 0.0, 0.0, False

    def stage(self, title: str, number: int, of: int) -> None:
        self.title = title

    def update(self, done: int, total: int, note: str) -> None:
        if self.title and time.monotonic() - self.told > POLL_SECONDS:  # other ranks have none
            self.told = time.monotonic()
            self.board.at.remote(self.run, f"{self.title} {done}/{total}")

    def finished(self, message: str) -> None:
        self.board.finished.remote(message)

    def stopped(self) -> bool:
        import ray

        if not self.stop and time.monotonic() - self.asked > POLL_SECONDS:
            self.asked = time.monotonic()
            with suppress(ray.exceptions.ActorUnavailableError):  # no answer now: asked again
                self.stop = ray.get(self.board.is_stopping.remote())
        return self.stop
