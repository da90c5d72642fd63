"""What is damaged is named; what is not damaged goes on, and its records stay."""

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]


def small(results: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sslbench", "run", "--suite", "smoke", "--methods", "simclr"]
    command += ["--set", "baselines=[]", "--set", "pretrain.epochs=1", *more]
    command += ["--results", str(results), "--workers", "0"]
    environment = {**os.environ, "COLUMNS": "250"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder in which the small run is done."""
    results = tmp_path_factory.mktemp("results")
    done = small(results)
    assert done.returncode == 0, done.stdout + done.stderr
    return results


@pytest.fixture
def run(tmp_path: Path, finished: Path) -> Cli:
    """The same run again in a copy of its folder, with a change if any."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return functools.partial(small, tmp_path)


def statuses(results: Path) -> dict[str, str]:
    records = [json.loads(path.read_text()) for path in results.glob("runs/*/evaluations/*.json")]
    return {f"{r['evaluation']} {r['dataset']}": r["status"] for r in records}


@pytest.mark.slow
def test_damaged_features_fail_what_needs_them_and_nothing_else(tmp_path: Path, run: Cli) -> None:
    [features] = [
        path
        for path in (tmp_path / "features").glob("*.safetensors")
        if b'"dataset": "scenes_tiny", "split": "test"' in path.read_bytes()[:2000]
    ]
    features.write_bytes(features.read_bytes()[:-100])
    for record in tmp_path.glob("runs/*/evaluations/*.json"):
        record.unlink()

    again = run()

    assert again.returncode == 1
    assert "Traceback" not in again.stdout + again.stderr
    assert f"{features}: damaged features" in again.stderr
    assert statuses(tmp_path) == {
        "knn objects_tiny": "done",
        "linear_probe objects_tiny": "done",
        "linear_probe scenes_tiny": "failed",
        "detection canvases_tiny": "done",
    }
    features.unlink()  # as the message says
    assert run().returncode == 0
    assert set(statuses(tmp_path).values()) == {"done"}


@pytest.mark.slow
def test_numbers_not_measured_alike_need_leave_to_share_a_column(
    tmp_path: Path, run: Cli, sealed: Callable[[dict[str, Any]], str]
) -> None:
    [record] = tmp_path.glob("runs/*/evaluations/knn-*.json")
    folder = record.parent.parent
    other = folder.with_name(f"{folder.name}-other")
    shutil.copytree(folder, other)
    for path in [other / "manifest.json", *other.glob("evaluations/*.json")]:
        path.write_text(sealed({**json.loads(path.read_text()), "run": other.name}))
    plan = tmp_path / "tables" / "smoke" / "plan.json"
    tree = json.loads(plan.read_text())
    tree["rows"].append({**tree["rows"][0], "label": "other", "run": other.name})
    plan.write_text(sealed(tree))
    table = [sys.executable, "-m", "sslbench", "table", "smoke", "--results", str(tmp_path)]
    assert subprocess.run(table, capture_output=True, check=False).returncode == 0

    copy = other / "evaluations" / record.name
    changed = json.loads(copy.read_text())
    changed["fingerprint"]["settings"]["temperature"] = 0.1
    changed["fingerprint_sha256"] = "0" * 64
    copy.write_text(sealed(changed))

    refused = subprocess.run(table, capture_output=True, text=True, check=False)

    assert refused.returncode == 2
    assert "not measured alike" in refused.stderr
    assert "settings.temperature = 0.1 (else 0.07)" in refused.stderr
    assert "--set tables.main.mixed=true" in refused.stderr
    tree["tables"]["main"]["mixed"] = True
    plan.write_text(sealed(tree))
    allowed = subprocess.run(table, capture_output=True, text=True, check=False)
    assert allowed.returncode == 0
    assert "measured with settings.temperature = 0.1 (else 0.07)" in " ".join(
        allowed.stdout.split()
    )


@pytest.mark.slow
def test_what_set_says_of_a_table_holds_in_the_table(tmp_path: Path, run: Cli) -> None:
    done = run("--set", "title=Mine", "--set", "tables.main.describe=[family]")

    assert done.returncode == 0
    assert "Nothing to do" in done.stdout
    text = (tmp_path / "tables" / "smoke" / "main.md").read_text()
    assert text.startswith("**Mine: main**")
    assert "| Family " in text
