"""The verdict where a user sees it: in the progress line and in the manifest, failed or not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sslbench.cli.planning import planned
from sslbench.health.verdict import Thresholds
from sslbench.runner import Runner
from sslbench.store import Manifest, Store

CPU = torch.device("cpu")
SUITE = """
title: a few steps on embedded data
methods: [simclr]
baselines: []
datasets: {objects_tiny: {splits: {train: 128, test: 64}}}
encoder: {name: resnet18, options: {layers: [1, 1, 1, 1], channels: [4, 4, 8, 8]}, stem: small}
pretrain: {dataset: objects_tiny, epochs: 2, steps: 2, batch_size: 16, image_size: 16,
           augment: crop, optim: {name: sgd, lr: 0.01}}
evaluations: {}
tables: {}
"""


class Finished:
    """A watcher that keeps the last line of every stage."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def stage(self, title: str, number: int, of: int) -> None: ...

    def update(self, done: int, total: int, note: str) -> None: ...

    def finished(self, message: str) -> None:
        self.messages.append(message)


def run(folder: Path, *changes: str) -> tuple[Manifest, str]:
    (folder / "few.yaml").write_text(SUITE)
    _, plan = planned(str(folder / "few.yaml"), None, None, list(changes), None, CPU)
    store, watcher = Store(folder / "results"), Finished()
    runner = Runner(store, data_root=None, download=False, device=CPU, workers=0, watcher=watcher)
    runner.run(plan)
    manifest = store.manifest(plan[0].config.id)
    assert manifest is not None
    return manifest, watcher.messages[0]


def test_a_finished_run_says_its_word_and_records_what_it_was_told_by(tmp_path: Path) -> None:
    manifest, message = run(tmp_path)
    assert manifest.status == "done"
    assert manifest.health is not None
    assert message.endswith(f"s, {manifest.health.verdict}")
    assert manifest.health.signals.keys() == manifest.health.untrained.keys()
    assert manifest.health.thresholds == Thresholds().model_dump()


def test_a_failed_run_says_at_which_step_it_diverged(tmp_path: Path) -> None:
    manifest, message = run(tmp_path, "pretrain.optim.lr=1e30")
    assert manifest.status == "failed"
    assert manifest.health is not None
    assert manifest.health.verdict == f"diverged at step {manifest.health.step}"
    assert manifest.health.verdict in message


def test_a_manifest_of_before_there_were_verdicts_is_still_read(
    tmp_path: Path, sealed: Callable[[dict[str, Any]], str]
) -> None:
    manifest, _ = run(tmp_path)
    path = tmp_path / "results" / "runs" / manifest.run / "manifest.json"
    tree = json.loads(path.read_text())
    del tree["health"]
    path.write_text(sealed(tree))
    read = Store(tmp_path / "results").manifest(manifest.run)
    assert read is not None
    assert read.health is None
