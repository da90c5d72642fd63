"""The small run that trials kill, starve and repeat, and what has to come out of it."""

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sslbench.cli.planning import planned
from sslbench.errors import SSLBenchError
from sslbench.plan import Planned
from sslbench.runner import Runner
from sslbench.store import PlanFile, Store

CPU = torch.device("cpu")
SUITE = Path(__file__).with_name("small.yaml")


class Quiet:
    """A watcher that tells nobody."""

    def __init__(self, told: Callable[[], None] = lambda: None) -> None:
        self.told = told

    def stage(self, title: str, number: int, of: int) -> None: ...

    def update(self, done: int, total: int, note: str) -> None:
        self.told()

    def finished(self, message: str) -> None: ...


def small_plan(method: str, epochs: int = 3, seed: int = 0) -> list[Planned]:
    """One method on a few hundred images, measured by three protocols."""
    changes = [f"pretrain.epochs={epochs}"]
    return planned(str(SUITE), method, str(seed), changes, None, CPU)[1]


def work(results: Path, plan: list[Planned], watcher: Quiet | None = None) -> None:
    """What ``sslbench run`` does. Raises SSLBenchError, or RuntimeError if a stage failed."""
    store = Store(results)
    runner = Runner(
        store,
        data_root=None,
        download=False,
        device=CPU,
        workers=0,
        watcher=watcher or Quiet(),
    )
    runner.check(plan)
    store.write_plan(PlanFile(suite="small", title="small", command="", rows=(), tables={}))
    tally = runner.run(plan)
    if tally.failures:
        raise RuntimeError("; ".join(tally.failures))


def in_a_child(task: Callable[[], None], errors: Path) -> int:
    """Forks, so that nothing is imported again; returns the child's number.

    It ends with 0, with an SSLBenchError's own code, or with 70 for anything else; what it said
    goes to ``errors``.
    """
    sys.stdout.flush()
    number = os.fork()
    if number:
        return number
    code = 70
    try:
        torch.set_num_threads(1)
        with errors.open("w") as said:
            try:
                task()
                code = 0
            except SSLBenchError as error:
                said.write(f"sslbench: {error}\n")
                code = error.exit_code
            except BaseException:
                traceback.print_exc(file=said)
    finally:
        os._exit(code)


def ended(number: int) -> int:
    """Waits for a child: its exit code, negative for a signal."""
    _, status = os.waitpid(number, 0)
    return os.waitstatus_to_exitcode(status)


def outcome(results: Path) -> dict[str, Any]:
    """What a finished run must give whatever happened to it: losses, weights, scores, outcomes."""
    found: dict[str, Any] = {}
    for path in sorted(results.glob("runs/*/manifest.json")):
        tree = json.loads(path.read_text())
        found[path.parent.name] = (tree["status"], tree["losses"], tree["encoder_digest"])
    for path in sorted(results.glob("runs/*/evaluations/*.json")):
        tree = json.loads(path.read_text())
        found[path.stem] = (tree["status"], tree["scores"], tree["chosen"], tree["outcomes_sha256"])
    return found
