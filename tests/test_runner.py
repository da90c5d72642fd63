"""What the runner does about data that changed, and about a method that fails midway."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from sslbench.cli.planning import planned
from sslbench.errors import DataError, Interrupted, SSLBenchError, UnwritableError
from sslbench.evaluate import evaluate, evaluation_checkpoints
from sslbench.runner import Runner, Tally
from sslbench.store import Record, Store
from sslbench.suite import load_suite

CPU = torch.device("cpu")
SUITE = """
title: two classes of plain colours
methods: [simclr]
baselines: []
datasets:
  plain:
    source: folder
    folder: plain
    levels: [{name: colour, classes: 2}]
    splits: {train: null, test: null}
encoder: {name: resnet18, options: {layers: [1, 1, 1, 1], channels: [4, 4, 8, 8]}, stem: small}
pretrain: {dataset: plain, epochs: 1, steps: 2, batch_size: 8, image_size: 16, augment: crop,
           optim: {name: sgd, lr: 0.01}}
evaluations: {knn: {protocol: knn, dataset: plain, settings: {neighbours: [3, 20]}}}
tables: {main: {columns: {kNN: knn.top1}}}
"""


class Notes:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage(self, title: str, number: int, of: int) -> None:
        self.stages.append(title)

    def update(self, done: int, total: int, note: str) -> None: ...

    def finished(self, message: str) -> None: ...


@pytest.fixture
def folder(plain_images: Path, tmp_path: Path) -> Path:
    """Of this test alone, which may damage it."""
    shutil.copytree(plain_images, tmp_path, dirs_exist_ok=True)
    (tmp_path / "plain.yaml").write_text(SUITE)
    return tmp_path


def run(
    folder: Path, *changes: str, methods: str | None = None, **options: Any
) -> tuple[Tally, Notes]:
    notes = Notes()
    root = folder / "data"
    _, plan = planned(str(folder / "plain.yaml"), methods, None, list(changes), root, CPU)
    runner = Runner(
        Store(folder / "results"),
        data_root=root,
        download=False,
        device=CPU,
        workers=0,
        watcher=notes,
        **options,
    )
    runner.check(plan)
    return runner.run(plan), notes


def test_a_users_own_suite_and_image_folder_run_from_files_of_any_size(folder: Path) -> None:
    tally, notes = run(folder)
    assert (tally.done, tally.failures) == (2, [])
    assert notes.stages == ["simclr (seed 0) pre-training", "simclr (seed 0) knn"]
    manifest = json.loads(next(folder.glob("results/runs/*/manifest.json")).read_text())
    assert manifest["config"]["pretrain"]["views_path"] == "workers"


def test_an_evaluation_is_done_again_without_training_when_its_record_is_gone(folder: Path) -> None:
    run(folder)
    next(folder.glob("results/runs/*/evaluations/*.json")).unlink()
    tally, notes = run(folder)
    assert tally.done == 1
    assert notes.stages == ["simclr (seed 0) knn"]


def test_data_that_changed_under_a_run_is_an_error_that_says_so(folder: Path) -> None:
    run(folder)
    Image.new("RGB", (20, 24), (1, 2, 3)).save(folder / "data/plain/train/red/0.png")
    next(folder.glob("results/runs/*/evaluations/*.json")).unlink()
    with pytest.raises(DataError, match="the data changed since run simclr-"):
        run(folder)


def test_an_image_that_cannot_be_read_fails_its_run_and_is_named(folder: Path) -> None:
    (folder / "data/plain/train/red/3.png").write_bytes(b"no picture")
    tally, _ = run(folder)
    assert len(tally.failures) == 1
    assert "3.png" in tally.failures[0]
    manifest = json.loads(next(folder.glob("results/runs/*/manifest.json")).read_text())
    assert manifest["status"] == "failed"


def test_a_failed_run_is_tried_again_once_its_cause_is_mended(folder: Path) -> None:
    broken = folder / "data/plain/train/red/3.png"
    good = broken.read_bytes()
    broken.write_bytes(b"no picture")
    run(folder)
    broken.write_bytes(good)
    tally, _ = run(folder)
    assert (tally.done, tally.failures) == (2, [])


EPOCHS = ("pretrain.epochs=6", "pretrain.steps=1")


def stopped_after(folder: Path, steps: int) -> None:
    """A run that is interrupted, with a checkpoint."""
    calls = iter(range(10**6))
    with pytest.raises(Interrupted):
        run(folder, *EPOCHS, stopped=lambda: next(calls) >= steps)


def position(folder: Path) -> int:
    [path] = folder.glob("results/runs/*/checkpoint.pt")
    return int(torch.load(path, weights_only=True)["state"]["step"])


@pytest.mark.parametrize("fail_fast", [False, True])
def test_the_first_failure_ends_a_call_only_where_it_shall(folder: Path, fail_fast: bool) -> None:
    rate = "pretrain.optim.lr=1e30"
    tally, notes = run(folder, *EPOCHS, rate, methods="simclr,byol", fail_fast=fail_fast)
    stages = [f"{method} (seed 0) pre-training" for method in ("simclr", "byol")]
    tried = stages[: 1 if fail_fast else 2]
    assert notes.stages == tried
    assert [failure.partition(":")[0] for failure in tally.failures] == tried


def test_what_was_learnt_from_mended_data_outlives_interrupts(folder: Path) -> None:
    broken = folder / "data/plain/train/red/3.png"
    good = broken.read_bytes()
    broken.write_bytes(b"no picture")
    run(folder, *EPOCHS)
    broken.write_bytes(good)
    stopped_after(folder, 1)
    before = position(folder)
    stopped_after(folder, 1)  # the record of the failure is of other data, and still there
    assert position(folder) > before
    tally, _ = run(folder, *EPOCHS)
    assert (tally.done, tally.failures) == (2, [])


def test_a_run_goes_on_with_no_other_data_than_it_began_with(folder: Path) -> None:
    stopped_after(folder, 2)
    path = folder / "data/plain/train/red/0.png"
    own = path.read_bytes()
    Image.new("RGB", (20, 24), (1, 2, 3)).save(path)
    tally, _ = run(folder, *EPOCHS)
    [failure] = tally.failures
    assert "checkpoint.pt: of data with digest" in failure
    assert "Restore the data, or remove it to begin anew" in failure
    path.write_bytes(own)
    before = position(folder)
    stopped_after(folder, 1)
    assert position(folder) > before


def test_a_checkpoint_of_an_evaluation_goes_when_its_record_is_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(folder)
    next(folder.glob("results/runs/*/evaluations/*.json")).unlink()

    def keeping(config: Any, encoder: Any, artifacts: Any, dataset: Any, **rest: Any) -> Record:
        record = evaluate(config, encoder, artifacts, dataset, **rest)
        kept = evaluation_checkpoints(
            rest["store"], rest["run"], config, record.encoder_digest, dataset.digest
        )
        kept.save({"step": 1})
        return record

    def full(store: Store, name: str, record: Record) -> None:
        raise UnwritableError("disk full")

    monkeypatch.setattr("sslbench.examine.evaluate", keeping)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "write_record", full)
        with pytest.raises(UnwritableError):
            run(folder)
    assert len(list(folder.glob("results/runs/*/evaluations/*.checkpoint.pt"))) == 1
    run(folder)
    assert not list(folder.glob("results/runs/*/evaluations/*.checkpoint.pt"))


@pytest.mark.parametrize("part", ["train/red", "test"])
def test_a_data_set_that_is_half_there_is_refused_before_any_training(
    folder: Path, part: str
) -> None:
    shutil.rmtree(folder / "data/plain" / part)
    with pytest.raises(SSLBenchError, match="plain"):
        run(folder)
    assert not list(folder.glob("results/runs/*"))


def test_suites_print_what_they_are() -> None:
    assert load_suite("quick").about
