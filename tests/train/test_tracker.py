"""TensorBoard's own reader finds in the event files what ``train.jsonl`` says, and no more."""

import json
import math
import struct
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sslbench.cli import app
from sslbench.conformance.trial import CPU, built, images, planned
from sslbench.errors import ConfigError, Interrupted
from sslbench.health import measure
from sslbench.train import tracker
from sslbench.train.log import TrainLog
from sslbench.train.loop import pretrain
from sslbench.train.outcome import Progress
from sslbench.train.tracker import FOLDER, TENSORBOARD, Events, check_tracker

needs_tensorboard = pytest.mark.skipif(
    find_spec("tensorboard") is None, reason="needs the package tensorboard"
)

Points = dict[tuple[str, int], float]


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few images, and health measured at the end of every epoch."""
    monkeypatch.setattr(measure, "TRAINED_ON", 1)
    monkeypatch.setattr(measure, "IMAGES", 64)
    monkeypatch.setattr(measure, "BATCH", 32)


def train(folder: Path, stop_at: int | None = None, tracked: str | None = TENSORBOARD) -> None:
    reached = 0

    def watch(progress: Progress) -> None:
        nonlocal reached
        reached = progress.step

    row = planned("hcsc")
    pretrain(
        row.config,
        built(row),
        row.data,
        images(),
        folder,
        device=CPU,
        tracker=tracked,
        on_progress=watch,
        stopped=lambda: reached == stop_at,
    )


def logged(folder: Path) -> Points:
    """Every number of train.jsonl, rounded as an event file does."""
    found: Points = {}
    for line in map(json.loads, (folder / "train.jsonl").read_text().splitlines()):
        step = line["step"]
        for name, value in line.items():
            if name == "health":
                found |= {(f"health/{key}", step): single(v) for key, v in value.items()}
            elif name not in ("step", "epoch", "seconds"):
                found[name, step] = single(value)
    return found


def single(value: float) -> float:
    (rounded,) = struct.unpack("f", struct.pack("f", value))
    return float(rounded)


def scalars(folder: Path) -> dict[str, list[Any]]:
    """What TensorBoard shows, without the reader's own removal of what came twice."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(folder / FOLDER), purge_orphaned_data=False)
    reader.Reload()
    return {tag: reader.Scalars(tag) for tag in reader.Tags()["scalars"]}


def points(folder: Path) -> Points:
    found = scalars(folder)
    count = sum(map(len, found.values()))
    by_step = {(tag, one.step): one.value for tag, some in found.items() for one in some}
    assert len(by_step) == count, "a point is there twice"
    return by_step


@needs_tensorboard
def test_the_event_files_hold_the_numbers_of_the_log_at_its_steps(tmp_path: Path) -> None:
    train(tmp_path)

    found = points(tmp_path)

    assert found == logged(tmp_path)
    assert {"loss", "instance", "prototype", "lr", "gradient_norm", "health/rank"} <= {
        name for name, _ in found
    }


@needs_tensorboard
def test_a_resumed_run_has_no_point_twice_and_none_missing(tmp_path: Path) -> None:
    for step in (2, 4):
        with suppress(Interrupted):
            train(tmp_path, stop_at=step)
    # A killed session leaves lines behind its last checkpoint; they are cut, and so are events.
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write(json.dumps({"step": 9, "epoch": 0, "seconds": 1.0, "loss": -1.0}) + "\n")

    train(tmp_path)

    assert points(tmp_path) == logged(tmp_path)
    assert -1.0 not in points(tmp_path).values()
    assert len(list((tmp_path / FOLDER).iterdir())) == 1


@needs_tensorboard
def test_a_run_that_was_begun_without_a_tracker_is_tracked_from_its_first_step(
    tmp_path: Path,
) -> None:
    with suppress(Interrupted):
        train(tmp_path, stop_at=4, tracked=None)
    assert not (tmp_path / FOLDER).exists()

    train(tmp_path)

    assert points(tmp_path) == logged(tmp_path)


@needs_tensorboard
def test_the_time_of_events_is_the_time_of_training(tmp_path: Path) -> None:
    lines = [
        {"step": 20, "epoch": 0, "seconds": 10.0, "loss": 3.0},
        {"step": 40, "epoch": 1, "seconds": 70.5, "loss": 2.0},
    ]
    log = TrainLog(tmp_path / "train.jsonl", Events(tmp_path / FOLDER))
    log.cut(0)
    for line in lines:
        log.write(line)
    log.close()

    first, second = scalars(tmp_path)["loss"]
    assert math.isclose(second.wall_time - first.wall_time, 60.5, abs_tol=1e-3)


def test_a_run_without_a_tracker_writes_no_events(tmp_path: Path) -> None:
    train(tmp_path, tracked=None)

    assert (tmp_path / "train.jsonl").exists()
    assert not (tmp_path / FOLDER).exists()


def test_a_missing_package_is_one_line_that_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracker, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'sslbench\[tensorboard\]'") as caught:
        check_tracker("tensorboard")
    assert "\n" not in str(caught.value)

    words = [
        "run",
        "--suite",
        "smoke",
        "--results",
        str(tmp_path / "r"),
        "--tracker",
        "tensorboard",
    ]
    done = CliRunner().invoke(app, words)

    assert isinstance(done.exception, ConfigError)
    assert not (tmp_path / "r").exists()


def test_an_unknown_tracker_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"wandb: no such tracker\. Known: tensorboard"):
        check_tracker("wandb")
