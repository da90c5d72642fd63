"""The suite ``survey`` from the real file formats to its table, with a few steps a stage."""

import json
import math
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
Cli = Callable[..., subprocess.CompletedProcess[str]]

# Where the miniature differs from the suite: how many images there are, and how long and how wide
# everything is. Protocols, recipes and rules are the suite's.
# Small batches, so that one pass over the few images makes several steps: a pass starts processes.
PROBE = "{epochs: 2, epoch_steps: 12, batch_size: 4, lr_per_batch: null}"
DETECTION = {
    "trials": "1",
    "short_sides": "[96, 128]",
    "long_side": "192",
    "steps": "2",
    "warmup_steps": "1",
    "batch_size": "2",
    "detector.fpn_width": "16",
    "detector.head_width": "32",
    "detector.proposals": "10",
    "detector.score_threshold": "0.0",
}
SEMI_SUPERVISED = "{epochs: 2, batch_size: 8}"
MINIATURE = {
    "datasets.imagenet.levels": "[{name: synset, classes: 8}]",
    "datasets.imagenet.splits": "{train: 64, test: 16}",
    "datasets.imagenet-1pct.levels": "[{name: synset, classes: 8}]",
    "datasets.imagenet-1pct.splits": "{train: 8, test: 16}",
    "datasets.imagenet-10pct.levels": "[{name: synset, classes: 8}]",
    "datasets.imagenet-10pct.splits": "{train: 16, test: 16}",
    "datasets.places205.levels": "[{name: scene, classes: 6}]",
    "datasets.places205.splits": "{train: 24, test: 12}",
    "datasets.places365.levels": "[{name: scene, classes: 6}]",
    "datasets.places365.splits": "{train: 24, test: 12}",
    "datasets.voc2007.levels": "[{name: class, classes: 4}]",
    "datasets.voc2007.splits": "{train: 4, test: 4}",
    "datasets.voc2007.options.classes": "[aeroplane, dog, person, sofa]",
    "datasets.voc0712.splits": "{train: 8, test: 4}",
    "datasets.coco2017.splits": "{train: 6, test: 4}",
    "encoder.name": "resnet18",
    "pretrain.image_size": "64",
    "pretrain.batch_size": "16",
    "pretrain.epochs": "2",
    "pretrain.steps": "2",
    "evaluations.knn.settings": "{neighbours: [1, 5], headline: 5}",
    "evaluations.semi_1pct.settings": SEMI_SUPERVISED,
    "evaluations.semi_10pct.settings": SEMI_SUPERVISED,
    "evaluations.few_shot.settings": "{shots: [1, 5], draws: 2}",
    "evaluations.clustering.settings": "{restarts: 1}",
    "evaluations.prototypes.settings": "{values: 2, draws: 2}",
    **{f"evaluations.{key}.settings": PROBE for key in ("linear", "places205", "places365")},
    **{f"evaluations.voc.settings.{key}": value for key, value in DETECTION.items()},
    **{f"evaluations.coco.settings.{key}": value for key, value in DETECTION.items()},
}
CHANGES = [part for pair in MINIATURE.items() for part in ("--set", "=".join(pair))]


def arguments(data: Path, results: Path, methods: str) -> list[str]:
    given = ["run", "--suite", "survey", "--methods", methods, "--data", str(data)]
    return [*given, "--results", str(results), "--workers", "2", *CHANGES]


@pytest.fixture(scope="module")
def results(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder in which the survey has been run with two methods."""
    folder = tmp_path_factory.mktemp("results")
    done = subprocess.run(
        [sys.executable, "-m", "sslbench", *arguments(tree, folder, "hcsc,pcl")],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "250"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def measured(results: Path, name: str = "main") -> dict[str, list[dict[str, Any]]]:
    """The cells of each row of the table that was measured, by the row's label."""
    table = read(results / "tables" / "survey" / f"{name}.json")
    return {line["label"]: line["cells"] for line in table["lines"] if line["kind"] != "reported"}


@pytest.mark.slow
def test_every_row_of_the_survey_has_every_number(results: Path) -> None:
    table = read(results / "tables" / "survey" / "main.json")
    assert [column["title"] for column in table["columns"]] == [
        "ImageNet top-1",
        "kNN top-1",
        "Places205 top-1",
        "Places365 top-1",
        "VOC AP50",
        "COCO AP",
    ]
    rows = measured(results)
    assert set(rows) == {"hcsc", "pcl", "random", "supervised"}
    for cells in rows.values():
        assert [cell["status"] for cell in cells] == 6 * ["done"]
        assert [cell["n"] for cell in cells] == [16, 16, 12, 12, 4, 4]
        assert all(math.isfinite(cell["value"]) for cell in cells)
    text = (results / "tables" / "survey" / "main.md").read_text(encoding="utf-8")
    assert "failed" not in text


@pytest.mark.slow
def test_the_other_tables_have_every_number_that_there_is(results: Path) -> None:
    statuses = {
        name: {label: [c["status"] for c in cells] for label, cells in rows.items()}
        for name in ("few_labels", "transfer", "features")
        for rows in [measured(results, name)]
    }
    for label in ("hcsc", "pcl", "random", "supervised"):
        assert statuses["few_labels"][label] == 6 * ["done"]
        assert [s == "done" for s in statuses["transfer"][label]] == [i != 2 for i in range(9)]
        prototypes = "done" if label in ("hcsc", "pcl") else "skipped"
        assert statuses["features"][label] == [*5 * ["done"], prototypes]


@pytest.mark.slow
def test_few_labels_are_those_of_the_lists(results: Path) -> None:
    for name, images in (("1pct", 8), ("10pct", 16)):
        identity = 16 * "[0-9a-f]"
        (path,) = results.glob(
            f"runs/hcsc-*/evaluations/semi_supervised-imagenet-{name}-{identity}.json"
        )
        assert read(path)["log"]["labelled_images"] == images


@pytest.mark.slow
def test_labels_stay_with_their_images_all_the_way(results: Path) -> None:
    for label, cells in measured(results).items():  # even at random, colours tell classes apart
        assert all(cell["value"] > 50 for cell in cells[:4]), label


@pytest.mark.slow
def test_large_images_were_cropped_by_worker_processes(results: Path) -> None:
    manifests = [read(path) for path in results.glob("runs/*/manifest.json")]
    assert {m["config"]["pretrain"]["views_path"] for m in manifests} == {"workers"}
    assert {m["config"]["method"]: (m["steps"], m["images_seen"]) for m in manifests} == {
        "hcsc": (4, 64),
        "pcl": (4, 64),
        "random": (0, 0),
        "supervised": (4, 64),
    }
    losses = {m["config"]["method"]: set(m["losses"]) for m in manifests}
    assert "prototype" in losses["hcsc"]  # the second epoch was clustered
    assert "proto_nce" in losses["pcl"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "width", "height"), [("voc0712", 500, 375), ("coco2017", 640, 480)]
)
def test_boxes_are_scored_in_pixels_of_the_stored_image(
    results: Path, name: str, width: int, height: int
) -> None:
    identity = 16 * "[0-9a-f]"  # and nothing else: what intervals are made of lies beside it
    (path,) = results.glob(f"runs/hcsc-*/evaluations/detection-{name}-{identity}.parquet")
    rows = pq.read_table(path).to_pandas()
    truth, found = (rows[rows["kind"] == kind] for kind in ("truth", "detection"))
    assert len(truth) == 8
    assert truth["ignore"].sum() == 2  # the small objects of the images with odd numbers
    left, first = {"voc0712": (60, 8), "coco2017": (60.5, 6)}[name]
    np.testing.assert_array_equal(truth["x0"].iloc[::2], left + 7 * np.arange(first, first + 4))
    assert len(found)
    assert found[["x0", "y0"]].min().min() >= 0
    # Shown, the long side had 171 pixels at most.
    assert 200 < found["x1"].max() < width + 1
    assert 200 < found["y1"].max() < height + 1


@pytest.mark.slow
def test_a_second_call_does_nothing(results: Path, tree: Path, here: Cli) -> None:
    before = {path: path.stat().st_mtime_ns for path in results.glob("runs/**/*")}
    done = here(*arguments(tree, results, "hcsc,pcl"))
    assert done.returncode == 0, done.stderr
    assert "Nothing to do: all 56 stages have their records" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in results.glob("runs/**/*")} == before


@pytest.mark.slow
def test_the_command_under_the_table_can_be_given_again(results: Path) -> None:
    command = read(results / "tables" / "survey" / "main.json")["provenance"]["command"]
    given = ["sslbench", "run", "--suite", "survey", "--methods", "hcsc,pcl", *CHANGES]
    assert shlex.split(command) == [*given, "--data", "DIR"]


# ---- before anything is trained -----------------------------------------------------------------

LISTED = "imagenet-1pct", "imagenet-10pct"
NAMES = ("imagenet", *LISTED, "places205", "places365", "voc2007", "voc0712", "coco2017")


def test_a_dry_run_finds_every_data_set(tree: Path, tmp_path: Path, here: Cli) -> None:
    done = here(*arguments(tree, tmp_path / "results", "hcsc"), "--dry-run")
    assert done.returncode == 0, done.stderr
    for name in NAMES:
        assert f"{name}: found" in done.stdout
    assert "MISSING" not in done.stdout
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("names", "removed", "message"),
    [
        (("imagenet", *LISTED), "imagenet", "no folder {}"),
        (
            ("imagenet", *LISTED),
            "imagenet/val",
            "no folder {}; expected: one folder of images per class",
        ),
        (LISTED[:1], "imagenet/semi_supervised/1percent.txt", "no list {}"),
        (("voc2007", "voc0712"), "VOCdevkit/VOC2007/ImageSets/Main/test.txt", "no list {}"),
        (("places205",), "places205/trainvalsplit_places205/val_places205.csv", "no list {}"),
        (("places205",), "places205/data", "24 of 24 images looked for are not there, such as {}"),
        (("places365",), "places365/categories_places365.txt", "no list {}"),
        (
            ("places365",),
            "places365/val_256",
            "12 of 12 images looked for are not there, such as {}",
        ),
        (("voc0712",), "VOCdevkit/VOC2012", "no list {}/ImageSets/Main/trainval.txt"),
        (("voc0712",), "VOCdevkit/VOC2012/Annotations", "4 of 4 files are not in {}"),
        (("coco2017",), "coco/annotations/instances_val2017.json", "no annotations {}"),
        (("coco2017",), "coco/train2017", "no folder of images {}"),
    ],
)
def test_a_dry_run_says_what_is_missing_and_where(
    tree: Path, tmp_path: Path, here: Cli, names: tuple[str, ...], removed: str, message: str
) -> None:
    data = tmp_path / "data"
    shutil.copytree(tree, data, copy_function=os.link)
    if (data / removed).is_dir():
        shutil.rmtree(data / removed)
    else:
        (data / removed).unlink()

    done = here(*arguments(data, tmp_path / "results", "hcsc"), "--dry-run")

    assert done.returncode == 0, done.stderr
    assert message.format(data / removed) in done.stdout.replace("\n", "")
    for other in NAMES:
        assert f"{other}: {'MISSING' if other in names else 'found'}" in done.stdout


def test_a_run_without_its_data_stops_before_any_training(
    tree: Path, tmp_path: Path, here: Cli
) -> None:
    (tmp_path / "imagenet").symlink_to(tree / "imagenet")
    done = here(*arguments(tmp_path, tmp_path / "results", "hcsc"))
    assert done.returncode == 2, done.stdout
    for folder in ("places205", "places365", "VOCdevkit", "coco"):
        assert f"no folder {tmp_path / folder}" in done.stderr
    assert "imagenet" not in done.stderr
    assert not list(tmp_path.glob("results/runs/*"))
