"""What the runner does about data that changed, and about a method that fails midway."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from sslbench.cli.planning import planned
from sslbench.errors import DataError, SSLBenchError
from sslbench.runner import Runner, Tally
from sslbench.store import Store
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


def run(folder: Path, *changes: str) -> tuple[Tally, Notes]:
    notes = Notes()
    root = folder / "data"
    _, plan = planned(str(folder / "plain.yaml"), None, None, list(changes), root, CPU)
    runner = Runner(
        Store(folder / "results"),
        data_root=root,
        download=False,
        device=CPU,
        workers=0,
        watcher=notes,
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
