"""Data that nothing can be measured on: told in one message, while the rest of a run goes on."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Cli = Callable[..., subprocess.CompletedProcess[str]]

SUITE = """
title: two evaluations, one of them on the data of a test
methods: [simclr]
baselines: []
seeds: [0]
datasets:
  unlabelled: {levels: [{name: none, classes: 1}], splits: {train: null, test: null},
               source: folder, folder: unlabelled}
  good: {levels: [{name: animal, classes: 2}], splits: {train: null, test: null},
         source: folder, folder: good}
  other: {levels: [{name: animal, classes: 2}], splits: {train: null, test: null}, OTHER}
encoder: {name: resnet18, options: {layers: [1, 1, 1, 1], channels: [4, 8, 8, 16]}, stem: small}
pretrain:
  dataset: unlabelled
  epochs: 10
  batch_size: 8
  image_size: 16
  augment: simclr_small
  optim: {name: sgd, lr: 0.03}
evaluations:
  other: {protocol: linear_probe, dataset: other, settings: {epochs: 1}}
  good: {protocol: knn, dataset: good, settings: {neighbours: [1], headline: 1}}
tables: {main: {columns: {Good: good.top1, Other: other.top1}}}
"""
FOLDER = "source: folder, folder: other"
LISTS = """source: csv_list, folder: other, options: {lists: {train: train.txt, test: test.txt},
           images: {train: train, test: test}}"""


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = np.frombuffer(path.name.encode().ljust(8)[:8], dtype=np.uint32)
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def folders(folder: Path, **splits: dict[str, int]) -> None:
    for split, classes in splits.items():
        for cls, count in classes.items():
            for number in range(count):
                picture(folder / split / cls / f"{cls}{number}.png")


def lists(folder: Path, **splits: list[int]) -> None:
    for split, labels in splits.items():
        for number in range(len(labels)):
            picture(folder / split / f"{number}.png")
        lines = [f"{number}.png {label}\n" for number, label in enumerate(labels)]
        (folder / f"{split}.txt").write_text("".join(lines))


@pytest.fixture
def run(tmp_path: Path, here: Cli) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Two steps of pre-training, then the evaluation of the data in ``other`` and a good one."""
    folders(tmp_path / "unlabelled", train={"all": 16}, test={"all": 1})
    folders(tmp_path / "good", train={"ant": 3, "bee": 3}, test={"ant": 2, "bee": 2})

    def call(other: str) -> subprocess.CompletedProcess[str]:
        suite = tmp_path / "two.yaml"
        suite.write_text(SUITE.replace("OTHER", other))
        places = ("--data", str(tmp_path), "--results", str(tmp_path / "results"))
        budget = ("--set", "pretrain.epochs=1", "--workers", "0", "--device", "cpu")
        return here("run", "--suite", str(suite), *places, *budget)

    return call


def records(folder: Path) -> dict[str, dict[str, object]]:
    found = [json.loads(f.read_text()) for f in folder.glob("results/runs/*/evaluations/*.json")]
    return {record["dataset"]: record for record in found}


def assert_only_the_other_failed(
    done: subprocess.CompletedProcess[str], folder: Path, message: str
) -> None:
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("sslbench: 1 stages failed:\n  - ")
    assert done.stderr.count(message) == 1
    assert "Traceback" not in done.stdout + done.stderr
    found = records(folder)
    assert found["good"]["status"] == "done"
    assert found["other"]["status"] == "failed"
    assert message in str(found["other"]["reason"])
    assert (folder / "results" / "tables" / "two" / "main.md").exists()


def test_good_data_is_measured_and_one_class_is_enough_to_pre_train_on(
    run: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    folders(tmp_path / "other", train={"ant": 2, "bee": 2}, test={"ant": 1, "bee": 1})
    done = run(FOLDER)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {record["status"] for record in records(tmp_path).values()} == {"done"}


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([0, 0, 1, 1], [0, 0], "other, test: no image of animal '1'"),
        ([0, 0, 0, 0], [0, 1], "other, train: no image of animal '1'"),
        ([0, 0, 1, 1], [1], "other, test: 1 images, at least 2 expected"),
        ([0, 0, 1], [0, 1], "other, train: one image only of animal '1'"),
    ],
)
def test_lists_that_nothing_can_be_measured_on_cost_one_record(
    run: Callable[[str], subprocess.CompletedProcess[str]],
    tmp_path: Path,
    train: list[int],
    test: list[int],
    message: str,
) -> None:
    lists(tmp_path / "other", train=train, test=test)
    assert_only_the_other_failed(run(LISTS), tmp_path, message)


def test_a_subset_without_a_class_costs_one_record(
    run: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    lists(tmp_path / "other", train=[0] * 30 + [1] * 2, test=[0, 1])
    done = run(f"{LISTS}, subset: {{train: 4}}")
    assert_only_the_other_failed(done, tmp_path, "Set a subset.train larger than 4")


def test_a_damaged_test_image_costs_one_record_and_is_measured_once_mended(
    run: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    folders(tmp_path / "other", train={"ant": 2, "bee": 2}, test={"ant": 1, "bee": 1})
    damaged = tmp_path / "other" / "test" / "bee" / "bee0.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    assert_only_the_other_failed(run(FOLDER), tmp_path, f"{damaged}: cannot be read as an image")
    picture(damaged)
    done = run(FOLDER)
    assert done.returncode == 0, done.stderr
    assert records(tmp_path)["other"]["status"] == "done"


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ({"ant": 1}, "other, test: other class folders than in train, without bee"),
        ({"ant": 1, "Bee": 1}, "without bee and with Bee"),
        ({"ant": 1, "bee": 1, "cod": 1}, "with cod"),
    ],
)
def test_class_folders_that_disagree_stop_the_plan(
    run: Callable[[str], subprocess.CompletedProcess[str]],
    tmp_path: Path,
    test: dict[str, int],
    message: str,
) -> None:
    folders(tmp_path / "other", train={"ant": 2, "bee": 2}, test=test)
    done = run(FOLDER)
    assert done.returncode == 2
    assert done.stderr.startswith("sslbench: other, test: other class folders than in train")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "results").glob("runs/*"))


def test_labels_beyond_the_classes_stop_the_plan(
    run: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    lists(tmp_path / "other", train=[0, 1, 2], test=[0, 1])
    done = run(LISTS)
    assert done.returncode == 2
    assert "other, train: labels in" in done.stderr
    assert "run from 0 to 2, expected 0 to 1" in done.stderr
    assert "Traceback" not in done.stderr
