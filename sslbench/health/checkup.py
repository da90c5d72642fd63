"""The health of one run, from before its first step to the verdict."""

from dataclasses import asdict
from typing import Any

from sslbench.api.method import Method
from sslbench.health.course import Course
from sslbench.health.measure import Probe, Signals, due
from sslbench.health.verdict import Health, judge


class Checkup:
    """Measures a method now and then. What it has found is part of a checkpoint."""

    def __init__(self, method: Method, probe: Probe, course: Course) -> None:
        self.method, self.probe, self.course = method, probe, course
        self.untrained: Signals = {}
        self.signals: Signals = {}  # as last measured

    def begin(self) -> None:
        """Before the first step. Raises Diverged if a feature is not finite, as all of these do."""
        self.untrained = self.signals = self.probe.signals(self.method)

    def measure(self, epoch: int) -> Signals:
        """At the end of an epoch; nothing where none is due."""
        if not due(epoch, self.method.data):
            return {}
        self.signals = self.probe.signals(self.method)
        return self.signals

    def verdict(self) -> Health:
        """At the end of the run."""
        return judge(self.signals, self.untrained, self.course)

    def state(self) -> dict[str, Any]:
        found = {"untrained": self.untrained, "signals": self.signals}
        return {**found, "course": asdict(self.course)}

    def restore(self, state: dict[str, Any]) -> None:
        self.untrained, self.signals = state["untrained"], state["signals"]
        self.course = Course(**state["course"])
