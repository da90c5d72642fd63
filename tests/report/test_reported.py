"""Quoted numbers: each has a source, and none is taken for another row's."""

import re
from pathlib import Path
from typing import Any

import pytest

from sslbench.errors import StoreError
from sslbench.report.reported import FIELDS, nearest_quoted, read_reported
from sslbench.report.write import tables

CURATED = Path(__file__).parents[2] / "results" / "reported"
HEADER = ",".join(FIELDS) + "\n"


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
        assert re.fullmatch(r"[a-z_]+/[a-z0-9]+", q.evaluation), q
        assert 0 < q.value < 100
        assert (CURATED / f"{q.method}.csv").is_file()


def test_no_curated_number_is_given_twice_for_one_source() -> None:
    keys = [
        (q.label, q.encoder, q.epochs, q.evaluation, q.metric, q.source)
        for q in read_reported(CURATED)
    ]

    assert len(set(keys)) == len(keys)


def test_there_may_be_no_folder() -> None:
    assert read_reported(None) == []
    assert read_reported(Path("/nowhere")) == []


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("moco,,resnet50,200,256,knn/shapes,top1,61.9,,", "moco.csv:2: source is empty"),
        ("moco,,resnet50,many,256,knn/shapes,top1,61.9,a,", "moco.csv:2: .*many"),
        ("moco,,resnet50,200,256,knn/shapes,top1,,a,", "moco.csv:2: .*float"),
        ("moco,,resnet50,200,256,knn/shapes,top1,nan,a,", "moco.csv:2: "),
        ("moco,,resnet50", "moco.csv:2: expected 10 fields"),
    ],
)
def test_a_bad_row_is_an_error_with_its_line(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        read_reported(folder(tmp_path, row))


def test_other_columns_are_an_error(tmp_path: Path) -> None:
    path = folder(tmp_path)
    (path / "moco.csv").write_text("method,value\n", encoding="utf-8")

    with pytest.raises(StoreError, match=r"columns are \['method', 'value'\]"):
        read_reported(path)


def test_the_nearest_setting_is_quoted(tmp_path: Path) -> None:
    quoted = read_reported(
        folder(
            tmp_path,
            "moco,,resnet50,800,256,knn/shapes,top1,71.1,a,",
            "moco,,resnet50,200,256,knn/shapes,top1,67.5,a,",
            "moco,,resnet18,1000,256,knn/shapes,top1,50.0,a,",
            "moco,v1,resnet50,200,256,knn/shapes,top1,60.6,a,",
        )
    )

    def value(label: str, encoder: str, epochs: int, dataset: str = "shapes") -> str | None:
        found = nearest_quoted(quoted, label, f"knn/{dataset}", "top1", encoder, epochs)
        return found and found.text

    assert value("moco", "resnet50", 300) == "67.5"
    assert value("moco", "resnet50", 500) == "71.1"
    assert value("moco", "resnet18", 200) == "50.0"
    assert value("moco", "", -1) == "71.1"  # nothing is known of the run: the first of the file
    assert value("moco@v1", "resnet50", 800) == "60.6"
    assert value("moco@other", "resnet50", 200) is None
    assert value("moco", "resnet50", 200, "cifar10") is None


def test_a_table_sets_quoted_numbers_apart(experiment: Any, tmp_path: Path) -> None:
    source = "arXiv:1 Table 2"
    path = folder(tmp_path, f"moco,,resnet50,200,256,knn/shapes,top1,67.50,{source},by others")
    for seed in range(3):
        experiment.row("moco", {"knn": 40.0}, title="MoCo", seed=seed)
        experiment.row("hcsc", {"knn": 30.0}, title="HCSC", seed=seed)
    experiment.plan(reported=True)

    table = tables(experiment.store, "tiny", path)[0]

    assert [line.kind for line in table.lines] == ["method", "reported", "method"]
    assert table.footnotes == (f"{source}: resnet50, 200 epochs, batch 256, by others",)
    text = table.to_markdown()
    assert "| *MoCo, published* |" in text
    assert "| *67.50*¹ |" in " ".join(text.split())
    assert r"\textit{67.50}\textsuperscript{1}" in table.to_latex()
    assert table.lines[0].cells[0].bold  # what others published is no rival


def test_a_table_that_does_not_ask_has_no_quoted_numbers(experiment: Any, tmp_path: Path) -> None:
    path = folder(tmp_path, "moco,,resnet50,200,256,knn/shapes,top1,67.5,a,")
    experiment.row("moco", {"knn": 40.0})
    experiment.plan()

    assert [line.kind for line in tables(experiment.store, "tiny", path)[0].lines] == ["method"]
