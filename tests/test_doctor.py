"""What doctor finds in a results folder with one thing wrong at a time, and what it removes."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sslbench.checkpoints import Checkpoints
from sslbench.doctor.folder import examine
from sslbench.sharing import locked
from sslbench.store import Store

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder in which a small run is done."""
    results = tmp_path_factory.mktemp("results")
    words = ["run", "--suite", "smoke", "--methods", "simclr", "--results", str(results)]
    words += ["--set", "baselines=[]", "--set", "pretrain.epochs=1", "--workers", "0"]
    subprocess.run([sys.executable, "-m", "sslbench", *words], check=True, capture_output=True)
    return results


@pytest.fixture
def results(finished: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(finished, tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture
def doctor(here: Cli, results: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    return lambda *more: here("doctor", "--results", str(results), *more)


def _run(results: Path) -> Path:
    return next(results.glob("runs/simclr-*"))


def _record(results: Path) -> Path:
    return next(_run(results).glob("evaluations/knn-*.json"))


def test_a_sound_folder_has_no_faults(doctor: Cli) -> None:
    done = doctor()
    assert done.returncode == 0, done.stdout
    assert "No faults." in done.stdout
    assert "processor" in done.stdout
    assert "objects" in done.stdout
    assert "fault:" not in done.stdout


def test_without_results_the_machine_alone_is_looked_at(here: Cli, tmp_path: Path) -> None:
    done = here("doctor", "--results", str(tmp_path / "none"))
    assert done.returncode == 0
    assert "No results in" in done.stdout
    assert not (tmp_path / "none").exists()


def _edit(path: Path) -> None:
    path.write_text(path.read_text().replace('"status": "done"', '"status":  "done"', 1))
    tree = json.loads(path.read_text())
    tree["seconds"] = 1.0
    path.write_text(json.dumps(tree))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _another(results: Path) -> None:
    other = next(_run(results).glob("evaluations/linear_probe-*.json"))
    _record(results).write_bytes(other.read_bytes())


FAULTS = {  # what is done to the folder, and what doctor says
    "an edited record": (lambda r: _edit(_record(r)), "edited or damaged"),
    "an edited manifest": (lambda r: _edit(_run(r) / "manifest.json"), "edited or damaged"),
    "a record cut short": (lambda r: _cut(_record(r)), "damaged or unreadable"),
    "other outcomes": (
        lambda r: _record(r).with_suffix(".parquet").write_bytes(b"PAR1"),
        "is not the file that its record names",
    ),
    "no spread": (
        lambda r: _record(r).with_suffix(".spread.parquet").unlink(),
        "cannot be read",
    ),
    "an encoder cut short": (lambda r: _cut(_run(r) / "encoder.safetensors"), "cannot be read"),
    "no encoder": (lambda r: (_run(r) / "encoder.safetensors").unlink(), "missing"),
    "another's folder": (lambda r: _run(r).rename(r / "runs" / "other"), "copied or renamed"),
    "another's record": (_another, "of evaluation"),
    "a damaged plan": (lambda r: _cut(r / "tables" / "smoke" / "plan.json"), "damaged"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_wrong_is_named_and_left_where_nothing_proves_it_useless(
    doctor: Cli, results: Path, name: str
) -> None:
    damage, said = FAULTS[name]
    damage(results)
    before = sorted(path for path in results.rglob("*") if path.name != ".lock")
    done = doctor("--repair")
    assert done.returncode == 1, done.stdout
    assert said in done.stdout
    assert "0 files removed" in done.stdout
    assert sorted(path for path in results.rglob("*") if path.name != ".lock") == before


def _orphan(results: Path) -> Path:
    path = _record(results).with_name("knn-objects_tiny-0000000000000000.parquet")
    path.write_bytes(b"PAR1")
    return path


def _killed_writer(results: Path) -> Path:
    path = _run(results) / ".manifest.json.12345.tmp"
    path.write_text("{")
    return path


def _torn(results: Path) -> Path:
    path = _run(results) / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-1])
    return path


def _of_a_finished(results: Path) -> Path:
    path = _record(results).with_suffix(".checkpoint.pt")
    Checkpoints(path, {"encoder": "a"}).save({"step": 1})
    return path


def _damaged_features(results: Path) -> Path:
    path = next((results / "features").glob("*.safetensors"))
    _cut(path)
    return path


@pytest.mark.parametrize(
    "leave", [_orphan, _killed_writer, _torn, _of_a_finished, _damaged_features]
)
def test_what_is_proven_to_be_of_no_use_goes_when_asked(
    doctor: Cli, results: Path, leave: Callable[[Path], Path]
) -> None:
    path = leave(results)
    first = doctor()
    assert first.returncode == 1
    assert "1 faults, 1 of which --repair removes." in first.stdout
    assert path.exists()
    second = doctor("--repair")
    assert second.returncode == 0, second.stdout
    assert f"removed {path}" in second.stdout
    assert not path.exists()
    assert "No faults." in doctor().stdout


def test_a_run_that_another_process_works_on_is_left_alone(doctor: Cli, results: Path) -> None:
    path = _killed_writer(results)
    with locked(Store(results), path.parent.name):
        done = doctor("--repair")
    assert done.returncode == 0
    assert "another process works on this run" in done.stdout
    assert path.exists()


def test_what_is_unfinished_is_a_note_with_the_command(doctor: Cli, results: Path) -> None:
    for path in list(_run(results).glob("evaluations/knn-*")):
        path.unlink()
    done = doctor()
    assert done.returncode == 0, done.stdout
    assert "stages of suite smoke have no record" in done.stdout
    assert "sslbench run --suite smoke" in done.stdout


def test_how_far_it_is_is_told_run_by_run(results: Path) -> None:
    shutil.copytree(_run(results), results / "runs" / "another")
    heard: list[tuple[int, int]] = []
    list(examine(Store(results), lambda done, of: heard.append((done, of))))
    assert heard == [(0, 2), (1, 2), (2, 2)]
