"""From the command to the table: once, again, with one more method, killed, broken, full."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "sslbench", *arguments]


def environment(cache: Path) -> dict[str, str]:
    return {**os.environ, "SSLBENCH_CACHE": str(cache), "COLUMNS": "200"}


@pytest.fixture(scope="module")
def cli(cache: Path) -> Cli:
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            cwd=ROOT,
            env=environment(cache),
            capture_output=True,
            text=True,
            check=False,
        )

    return call


@pytest.fixture(scope="module")
def smoke(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder in which smoke has been run with two methods."""
    results = tmp_path_factory.mktemp("results")
    done = cli("run", "--suite", "smoke", "--methods", "simclr,hcsc", "--results", str(results))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "HCSC" in done.stdout
    return results


def stamps(folder: Path) -> dict[str, int]:
    files = sorted(folder.glob("runs/**/*"))
    return {str(f.relative_to(folder)): f.stat().st_mtime_ns for f in files if f.is_file()}


def test_a_run_ends_in_tables_of_every_kind_with_every_row(smoke: Path) -> None:
    folder = smoke / "tables" / "smoke"
    for ending in ("md", "csv", "tex", "png", "json"):
        assert (folder / f"main.{ending}").stat().st_size > 100
    text = (folder / "main.md").read_text()
    for title in ("Random initialisation", "SimCLR", "HCSC", "Supervised"):
        assert title in text
    assert "failed" not in text


def test_every_record_carries_what_a_number_must(smoke: Path) -> None:
    records = [json.loads(f.read_text()) for f in smoke.glob("runs/*/evaluations/*.json")]
    assert len(records) == 20
    for record in records:
        assert record["status"] == "done"
        assert len(record["fingerprint"]["data"]["digest"]) == 64
        assert len(record["fingerprint_sha256"]) == 64
        assert len(record["outcomes_sha256"]) == 64
        assert all(
            score["interval"]["low"] <= score["value"] for score in record["scores"].values()
        )


def test_the_same_command_does_nothing_and_says_so(smoke: Path, here: Cli) -> None:
    before = stamps(smoke)
    done = here("run", "--suite", "smoke", "--methods", "simclr,hcsc", "--results", str(smoke))
    assert done.returncode == 0
    assert "Nothing to do: all 24 stages have their records" in done.stdout
    assert stamps(smoke) == before


def test_tables_rebuilt_from_the_records_are_the_same_bytes(smoke: Path, here: Cli) -> None:
    folder = smoke / "tables" / "smoke"
    names = [
        f"{table}.{e}" for table in ("main", "cost") for e in ("md", "csv", "tex", "json", "png")
    ]
    before = {name: (folder / name).read_bytes() for name in names}
    for name in names:
        (folder / name).unlink()
    assert here("table", "smoke", "--results", str(smoke)).returncode == 0
    assert {name: (folder / name).read_bytes() for name in names} == before


def test_one_more_method_trains_only_that_method(smoke: Path, cli: Cli, tmp_path: Path) -> None:
    results = tmp_path / "results"
    shutil.copytree(smoke, results)
    before = stamps(results)
    done = cli(
        "run", "--suite", "smoke", "--methods", "simclr,moco,hcsc", "--results", str(results)
    )
    assert done.returncode == 0, done.stderr
    after = stamps(results)
    assert {name: after[name] for name in before} == before
    assert all(name.startswith("runs/moco-") for name in set(after) - set(before))


def test_an_interrupted_run_goes_on_and_ends_as_if_it_had_not_been(
    smoke: Path, cache: Path, cli: Cli, tmp_path: Path
) -> None:
    arguments = ("run", "--suite", "smoke", "--methods", "simclr", "--results", str(tmp_path))
    arguments += ("--set", "pretrain.epochs=2")
    process = subprocess.Popen(
        command(*arguments), cwd=ROOT, env=environment(cache), stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 900
    while not list(tmp_path.glob("runs/simclr-*/checkpoint.pt")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=900)
    assert process.returncode == 130, error
    assert "interrupted" in error
    assert "Traceback" not in error
    assert cli(*arguments).returncode == 0
    digests = [
        json.loads(next(folder.glob("runs/simclr-*/manifest.json")).read_text())["encoder_digest"]
        for folder in (smoke, tmp_path)
    ]
    assert digests[0] == digests[1]


def test_a_run_that_diverges_is_recorded_and_the_others_go_on(cli: Cli, tmp_path: Path) -> None:
    arguments = ("run", "--suite", "smoke", "--methods", "simclr", "--results", str(tmp_path))
    done = cli(*arguments, "--set", "pretrain.optim.lr=1e30", "--set", "baselines=[random]")
    assert done.returncode == 1
    assert "diverged at step" in done.stderr
    assert "Traceback" not in done.stderr
    assert "failed" in (tmp_path / "tables" / "smoke" / "main.md").read_text()
    manifest = json.loads(next(tmp_path.glob("runs/simclr-*/manifest.json")).read_text())
    assert manifest["failure"]["kind"] == "Diverged"
    assert not list(tmp_path.glob("runs/simclr-*/evaluations/*.json"))
    later = [json.loads(path.read_text()) for path in tmp_path.glob("runs/random-*/*/*.json")]
    assert [record["status"] for record in later] == ["done"] * 5


def test_a_dry_run_prints_the_plan_and_writes_nothing(here: Cli, tmp_path: Path) -> None:
    done = here(
        "run",
        "--suite",
        "survey",
        "--methods",
        "hcsc",
        "--dry-run",
        "--results",
        str(tmp_path / "r"),
    )
    assert done.returncode == 0, done.stderr
    assert "to do" in done.stdout
    assert "imagenet: MISSING" in done.stdout
    assert "voc0712: MISSING" in done.stdout
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--suite", "smok"), "Did you mean 'smoke'"),
        (("run", "--suite", "none.yaml"), "does not exist"),
        (("show", "hcsc,pcl"), "names 2 rows, hcsc, pcl: give one"),
        (("run", "--suite", "smoke", "--methods", "hcs"), "Did you mean 'hcsc'"),
        (("run", "--suite", "smoke", "--methods", ","), "names no method"),
        (("run", "--suite", "smoke", "--seeds", "a"), "whole numbers"),
        (("run", "--suite", "smoke", "--set", "pretrain.epoch=1"), "Did you mean 'epochs'"),
        (("run", "--suite", "smoke", "--set", "pretrain.epochs"), "KEY=VALUE"),
        (("run", "--suite", "smoke", "--device", "tpu9"), "not usable here"),
        (("run", "--suite", "smoke", "--results", "/proc/none"), "cannot be written"),
        (("run", "--suite", "cifar10-mini", "--data", "/nowhere"), "cifar10"),
        (("table", "nothing"), "sslbench run --suite nothing"),
        (("check", "mocco"), "Did you mean 'moco'"),
        (("show", "hcsc@none"), "no variant"),
    ],
)
def test_a_mistake_of_the_user_ends_in_one_message_and_code_2(
    here: Cli, arguments: tuple[str, ...], message: str
) -> None:
    done = here(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert done.stderr.startswith("sslbench: ")
    assert "Traceback" not in done.stderr


def test_show_names_the_layer_of_every_value(here: Cli) -> None:
    done = here("show", "hcsc@all-negatives", "--suite", "smoke", "--set", "params.dim=64")
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line.rstrip() for line in done.stdout.splitlines() if line.split()}
    assert lines["params.dim"].endswith("--set")
    assert lines["params.instance_negatives"].endswith("variant all-negatives")
    assert lines["params.clusters"].endswith("rule")
    assert lines["pretrain.epochs"].endswith("suite smoke")
    assert lines["pretrain.dataset.source"].endswith("suite smoke")
