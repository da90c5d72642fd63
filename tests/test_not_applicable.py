"""What a run has nothing for is skipped with its reason, in the record and in the table."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sslbench.cli.planning import planned
from sslbench.runner import Runner, Tally
from sslbench.store import Record, Store

pytestmark = pytest.mark.slow
CPU = torch.device("cpu")
COMMAND = (sys.executable, "-m", "sslbench", "run", "--device", "cpu")
SUITE = """
title: one method with prototypes and one without
methods: [swav, simclr]
baselines: [random]
datasets: {objects_tiny: {splits: {train: 128, test: 72}}}
encoder: {name: resnet18, options: {layers: [1, 1, 1, 1], channels: [4, 4, 8, 8]}, stem: small}
pretrain: {dataset: objects_tiny, epochs: 1, steps: 2, batch_size: 32, image_size: 16,
           augment: crop, optim: {name: sgd, lr: 0.01}}
exceptions: {swav: {params: {prototypes: 12, queue_size: 0}}}
evaluations: {prototypes: {protocol: clustering@prototypes, dataset: objects_tiny}}
tables: {main: {columns: {AMI: prototypes.ami, family: prototypes.ami_prototypes_0_family}}}
"""


class Finished:
    """A watcher that keeps the last line of every stage."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def stage(self, title: str, number: int, of: int) -> None: ...

    def update(self, done: int, total: int, note: str) -> None: ...

    def finished(self, message: str) -> None:
        self.messages.append(message)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suites") / "two.yaml"
    path.write_text(SUITE)
    return path


@pytest.fixture(scope="module")
def results(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command leaves behind."""
    folder = tmp_path_factory.mktemp("results")
    done = subprocess.run(
        [*COMMAND, "--suite", str(suite), "--results", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def rerun(suite: Path, results: Path) -> tuple[dict[str, Record | None], Tally, list[str]]:
    """Records by row after another run, what it did and what it said."""
    _, plan = planned(str(suite), None, None, [], None, CPU)
    store, watcher = Store(results), Finished()
    tally = Runner(
        store, data_root=None, download=False, device=CPU, workers=0, watcher=watcher
    ).run(plan)
    found = {
        row.label: store.record(row.config.id, row.evaluations["prototypes"].id) for row in plan
    }
    return found, tally, watcher.messages


def test_a_run_without_prototypes_is_skipped_with_its_reason(suite: Path, results: Path) -> None:
    found, _, _ = rerun(suite, results)
    assert {label: record and record.status for label, record in found.items()} == {
        "swav": "done",
        "simclr": "skipped",
        "random": "skipped",
    }
    record = found["simclr"]
    assert record is not None
    assert record.failure is None
    assert (record.reason or "").startswith("there are no prototypes")


def test_what_was_skipped_is_not_tried_again(suite: Path, results: Path) -> None:
    _, tally, messages = rerun(suite, results)
    assert (tally.done, tally.already, tally.failures, messages) == (0, 6, [], [])


def test_the_table_has_every_row_and_says_why_a_cell_is_empty(results: Path) -> None:
    text = (results / "tables" / "two" / "main.md").read_text(encoding="utf-8")
    for title in ("SwAV", "SimCLR", "Random initialisation"):
        assert title in text
    assert text.count("skipped") >= 2
    assert "there are no prototypes: the method has none" in text
    assert "failed" not in text


def test_another_encoder_is_measured_again(suite: Path, results: Path) -> None:
    _, plan = planned(str(suite), None, None, [], None, CPU)
    (row,) = [row for row in plan if row.label == "simclr"]
    store, name = Store(results), row.evaluations["prototypes"].id
    record = store.record(row.config.id, name)
    assert record is not None
    store.write_record(name, record.model_copy(update={"encoder_digest": "another"}))
    _, tally, (message,) = rerun(suite, results)
    assert tally.done == 1
    assert "skipped, there are no prototypes" in message
