"""``sslbench ablate``: mistakes in one message, only missing runs trained."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sslbench.study import study_names

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["moco"], "'moco' is a method, and nothing varies: add --vary"),
        (["mocoo"], "no study 'mocoo'. Did you mean 'moco'?"),
        (["pair-selecton"], "Did you mean 'pair-selection'?"),
        (["mocoo", "--vary", "params.levels=[1, 2]"], "no method 'mocoo'. Did you mean 'moco'?"),
        (["negatives", "--vary", "params.x=[1, 2]"], "is a study, which says itself what varies"),
        (["negatives", "--product"], "--product goes with --vary"),
        (["moco", "--vary", "params.temperature=0.1,0.2"], "with brackets"),
        (["moco", "--vary", "params.temperature"], "with brackets"),
        (["moco", "--vary", "params.temperature=[0.1]"], "one level, 0.1: nothing varies"),
        (["moco", "--vary", "params.temperature=[0.1"], "--vary params.temperature"),
        (
            ["moco", "--vary", "params.temperature=[1, 2]", "--vary", "params.temperature=[3, 4]"],
            "--vary params.temperature: varied twice",
        ),
        (
            [
                "moco",
                "--vary",
                "pretrain.optim.lr=[1, 2]",
                "--vary",
                "pretrain.optim=[{}, {lr: 2}]",
            ],
            "twice, by pretrain.optim.lr too",
        ),
        (["moco", "--vary", "params.x=[1, 2]", "--product"], "--product takes two --vary"),
        (["moco", "--vary", "params.x=[1, 2]", "--suite", "quik"], "Did you mean 'quick'?"),
        (["none.yaml"], "study file none.yaml does not exist"),
    ],
)
def test_a_mistake_is_one_message_and_code_2(here: Cli, arguments: list[str], message: str) -> None:
    done = here("ablate", *arguments, "--dry-run")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_study_with_a_methods_name_is_told_apart(
    here: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sslbench.study.study_names", lambda: ["moco"])
    assert "is a method and a study" in here("ablate", "moco").stderr


def test_a_study_file_with_a_suites_name_is_refused(here: Cli, tmp_path: Path) -> None:
    file = tmp_path / "quick.yaml"
    file.write_text("title: q\nmethod: moco\nparts: {}\n")
    assert "has the name of a suite" in here("ablate", str(file)).stderr


def test_dry_run_shows_the_plan_and_writes_nothing(here: Cli, tmp_path: Path) -> None:
    vary = ["--vary", "params.temperature=[0.1, 0.2]", "--vary", "params.queue_size=[64, 192]"]
    results = tmp_path / "results"
    done = here("ablate", "moco", *vary, "--suite", "smoke", "--dry-run", "--results", str(results))
    assert done.returncode == 0, done.stderr
    rows = [line.split()[0] for line in done.stdout.splitlines() if "to do" in line]
    assert rows == ["moco", "moco@temperature=0.1", "moco@queue_size=64"]
    assert not results.exists()


@pytest.mark.parametrize("parts", [["there", "missing"], ["missing"]])
def test_a_part_is_left_out_where_its_data_may_be_missing_and_is(
    here: Cli, tmp_path: Path, parts: list[str]
) -> None:
    sets = {"there": "objects_tiny", "missing": "dtd"}
    lines = [
        f"  {part}: {{if_present: true, base: {{pretrain: {{dataset: {sets[part]}}}}}, "
        "factors: {t: {key: params.temperature, values: [0.1, 0.2]}}}"
        for part in parts
    ]
    file = tmp_path / "mine.yaml"
    file.write_text("\n".join(["title: t", "suite: smoke", "method: moco", "parts:", *lines]))
    done = here("ablate", str(file), "--dry-run", "--data", str(tmp_path))
    said = done.stdout if len(parts) == 2 else done.stderr
    assert "Part 'missing' is left out, for its data is not there" in said
    assert done.returncode == (0 if len(parts) == 2 else 2)


@pytest.mark.slow
def test_only_missing_runs_are_trained_and_the_tables_come_back_the_same(
    here: Cli, tmp_path: Path
) -> None:
    file, results = tmp_path / "mine.yaml", tmp_path / "results"
    file.write_text(
        "title: t\nsuite: smoke\nmethod: moco\ncolumns: {kNN: knn.top1}\n"
        "set: {pretrain: {epochs: 1}}\nparts:\n"
        "  main: {factors: {t: {key: params.temperature, values: [0.1, 0.2, 0.5]}}}\n"
        "  both: {design: crossed, factors: {t: {key: params.temperature, values: [0.1, 0.2]}, "
        "q: {key: params.queue_size, values: [64, 192]}}}\n"
    )

    def sslbench(*arguments: str) -> str:
        done = here(*arguments, "--results", str(results))
        assert done.returncode == 0, done.stderr
        return done.stdout

    sslbench("run", "--suite", "smoke", "--methods", "moco", "--set", "pretrain.epochs=1")
    before = {path.name for path in (results / "runs").iterdir()}
    sslbench("ablate", str(file))
    after = {path.name for path in (results / "runs").iterdir()}
    # 0.2 and 192 are the suite's own; random and supervised are of the suite alone.
    assert before < after
    assert len(after - before) == 2 + 2
    assert "Nothing to do" in sslbench("ablate", str(file))
    folder = results / "tables" / "mine"
    first = {path: path.read_bytes() for path in folder.rglob("*.*")}
    assert {"main.md", "both-knn-top1.md", "main-effects.png"} <= {path.name for path in first}
    for path in first:
        if path.name not in ("plan.json", "inputs.json"):
            path.unlink()
    sslbench("table", "mine")
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == first


def test_studies_are_listed(here: Cli) -> None:
    done = here("list", "--studies")
    assert all(name in done.stdout for name in study_names())
