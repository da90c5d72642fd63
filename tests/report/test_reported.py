"""Quoted numbers: each has a source, and none is taken for another row's."""

import csv
import re
from pathlib import Path
from typing import Any

import pytest

from sslbench.errors import StoreError
from sslbench.report.reported import FIELDS, ORIGINS, read_reported
from sslbench.report.write import tables

CURATED = Path(__file__).parents[2] / "results" / "reported"
COLLECTED = Path(__file__).parents[3] / "shared" / "published" / "published.csv"
HEADER = ",".join(FIELDS) + "\n"
THIRD_PARTY = ("secondary: OpenMixup", "secondary: XinyuSun", "secondary: SSL4VideoSurvey")


def row(**changes: str) -> str:
    """A row of a file: MoCo's default, with some fields changed."""
    known = {
        "method": "moco",
        "title": "MoCo v2",
        "encoder": "resnet50",
        "data": "imagenet",
        "epochs": "200",
        "batch": "256",
        "evaluation": "knn/shapes",
        "metric": "top1",
        "value": "67.5",
        "origin": "original",
        "source": "arXiv:1 Table 2",
    }
    return ",".join({**dict.fromkeys(FIELDS, ""), **known, **changes}.values())


def folder(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "reported"
    path.mkdir()
    (path / "moco.csv").write_text(HEADER + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_every_curated_number_has_a_source_and_a_home() -> None:
    quoted = read_reported(CURATED)

    assert {"hcsc", "pcl", "moco", "simclr"} <= {q.method for q in quoted}
    for q in quoted:
        assert q.source.startswith(("arXiv:", "https://")), q
        assert re.fullmatch(r"[a-z_]+/[a-z0-9-]+", q.evaluation), q
        assert 0 < q.value < 100
        assert (CURATED / f"{q.method}.csv").is_file()
        assert q.origin in ORIGINS


def test_of_one_setting_one_number_is_curated() -> None:
    keys = [
        (q.label, q.encoder, q.data, q.epochs, q.batch, q.crops, q.evaluation, q.protocol, q.metric)
        for q in read_reported(CURATED)
    ]

    assert len(set(keys)) == len(keys)


@pytest.mark.needs_shared
def test_every_curated_number_was_collected_from_its_source() -> None:
    if not COLLECTED.is_file():
        pytest.skip(f"needs the collected numbers, {COLLECTED}")
    with COLLECTED.open(encoding="utf-8", newline="") as file:
        collected = {
            (_source(found["source"]), found["value"], found["epochs"], found["batch"])
            for found in csv.DictReader(file)
            if not found["note"].startswith(tuple(f"[{name}" for name in THIRD_PARTY))
        }

    for q in read_reported(CURATED):
        key = (q.source, q.text, f"{q.epochs or ''}", f"{q.batch or ''}")
        assert key in collected, q


def _source(printed: str) -> str:
    """OWNER/REPOSITORY:PATH@COMMIT as an address; of a paper what stands before the bracket."""
    found = re.fullmatch(r"([\w.-]+/[\w.-]+):(\S+)@(\w+)", printed)
    if found:
        return f"https://github.com/{found[1]} {found[2]} at {found[3]}"
    return printed.partition(" (")[0].replace("Sec. 4.1 text and momentum table", "section 4.1")


def test_there_may_be_no_folder() -> None:
    assert read_reported(None) == []
    assert read_reported(Path("/nowhere")) == []


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row(source=""), "moco.csv:2: source is empty"),
        (row(epochs="many"), "moco.csv:2: .*many"),
        (row(value=""), "moco.csv:2: .*float"),
        (row(value="nan"), "moco.csv:2: "),
        (row(origin="hearsay"), "moco.csv:2: origin is 'hearsay'"),
        ("moco,,resnet50", "moco.csv:2: expected 15 fields"),
    ],
)
def test_a_bad_row_is_an_error_with_its_line(tmp_path: Path, bad: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        read_reported(folder(tmp_path, bad))


def test_other_columns_are_an_error(tmp_path: Path) -> None:
    path = folder(tmp_path)
    (path / "moco.csv").write_text("method,value\n", encoding="utf-8")

    with pytest.raises(StoreError, match=r"columns are \['method', 'value'\]"):
        read_reported(path)


def test_a_table_sets_quoted_numbers_apart(experiment: Any, tmp_path: Path) -> None:
    path = folder(tmp_path, row(value="67.50", note="by others"))
    for seed in range(3):
        experiment.row("moco", {"knn": 40.0}, title="MoCo", seed=seed)
        experiment.row("hcsc", {"knn": 30.0}, title="HCSC", seed=seed)
    experiment.plan(reported=True)

    table = tables(experiment.store, "tiny", path)[0]

    assert [line.kind for line in table.lines] == ["method", "reported", "method"]
    assert table.footnotes[0] == ("arXiv:1 Table 2: resnet50, 200 epochs, batch 256, by others")
    text = table.to_markdown()
    assert "| *MoCo, published* |" in text
    assert "| *67.50*¹,² |" in " ".join(text.split())
    assert r"\textit{67.50}\textsuperscript{1,2}" in table.to_latex()
    assert table.lines[0].cells[0].bold  # what others published is no rival


def test_a_table_that_does_not_ask_has_no_quoted_numbers(experiment: Any, tmp_path: Path) -> None:
    path = folder(tmp_path, row())
    experiment.row("moco", {"knn": 40.0})
    experiment.plan()

    assert [line.kind for line in tables(experiment.store, "tiny", path)[0].lines] == ["method"]
