"""Tables of published numbers alone: which number, in which row, under which group."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sslbench.cli import app
from sslbench.errors import ConfigError, StoreError
from sslbench.report.grid import NO_NUMBER, Table
from sslbench.report.quoted_tables import quoted_tables
from sslbench.report.reported import read_reported
from sslbench.report.write import write_tables
from sslbench.store import Store

CURATED = Path(__file__).parents[2] / "results" / "reported"
DEFINITION = """\
groups:
  queues: [moco]
  clusters: [pcl, hcsc]
tables:
  small:
    title: Small
    columns:
      kNN: {score: knn/shapes.top1}
      Linear: {score: linear_probe/shapes.top1, protocols: [linear_probe@moco]}
"""
PCL = {"method": "pcl", "title": "PCL", "value": "60.0"}

Quote = Callable[..., Path]


def built(folder: Path, text: str = DEFINITION) -> Table:
    (folder / "tables.yaml").write_text(text, encoding="utf-8")
    return quoted_tables(folder)[0]


def linear(**changes: str) -> dict[str, str]:
    known = {"evaluation": "linear_probe/shapes", "protocol": "linear_probe@moco"}
    return {**known, **changes}


def test_rows_stand_in_groups_in_the_files_order(tmp_path: Path, quoted_row: Quote) -> None:
    other = {"method": "new", "title": "New", "value": "1.0"}
    table = built(quoted_row(tmp_path, PCL, other, {}, linear()))

    assert [(line.group, line.title) for line in table.lines] == [
        ("queues", "MoCo v2"),
        ("clusters", "PCL"),
        ("other methods", "New"),
    ]
    assert [cell.text for cell in table.lines[1].cells] == ["60.0", NO_NUMBER]
    text = table.to_markdown()
    assert "| *queues* " in text
    assert "| MoCo v2 " in text
    assert r"\multicolumn{5}{l}{\emph{queues}} \\" in table.to_latex()
    assert ",queues," in table.to_csv()
    assert "4 numbers out of publications" in text


def test_the_better_origin_goes_first_and_then_the_longer_training(
    tmp_path: Path, quoted_row: Quote
) -> None:
    rows = [
        {"value": "1.0", "origin": "reproduction", "epochs": "1000"},
        {"value": "2.0", "origin": "official repository", "epochs": "200"},
        {"value": "3.0", "origin": "official repository", "epochs": "800"},
        {"value": "4.0", "origin": "quoted", "epochs": "900"},
        linear(value="5.0", epochs=""),
        linear(value="6.0", protocol="online", epochs="900"),
    ]
    table = built(quoted_row(tmp_path, *rows))

    line = table.lines[0]

    assert [cell.text for cell in line.cells] == ["3.0", "5.0"]
    assert line.described == ("resnet50", "800")
    assert table.footnotes[1] == "arXiv:1 Table 2: epochs not stated, linear_probe@moco"


def test_a_variant_that_only_others_trained_is_left_out(tmp_path: Path, quoted_row: Quote) -> None:
    others = {"variant": "new", "title": "MoCo, new", "origin": "reproduction"}
    alone = {**PCL, "variant": "new", "title": "PCL, new", "origin": "reproduction"}
    table = built(quoted_row(tmp_path, {}, others, alone, linear()))

    assert [line.title for line in table.lines] == ["MoCo v2", "PCL, new"]


def test_encoders_and_pretraining_data_choose_the_rows(tmp_path: Path, quoted_row: Quote) -> None:
    rows = [{}, {"encoder": "vit"}, {"data": "coco"}, linear()]
    text = DEFINITION.replace("title: Small", "title: Small\n    encoders: [resnet50]")

    apart = DEFINITION.replace("Small", "Small\n    describe: [encoder, data]")
    assert len(built(quoted_row(tmp_path, *rows), apart).lines) == 3
    assert len(built(quoted_row(tmp_path, *rows)).lines) == 2
    table = built(quoted_row(tmp_path, *rows), text.replace("Small", "S\n    data: [imagenet]"))
    assert len(table.lines) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("knn/shapes.top1", "knn/none.top1"), "'small', column 'kNN': nothing is quoted"),
        (("knn/shapes.top1", "knn.top1"), "expected EVALUATION/DATASET.METRIC"),
        (("title: Small", "titel: Small"), "titel"),
    ],
)
def test_a_wrong_definition_is_an_error(
    tmp_path: Path, quoted_row: Quote, change: tuple[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        built(quoted_row(tmp_path, {}, linear()), DEFINITION.replace(*change))


def test_without_the_folder_it_is_said_where_it_comes_from() -> None:
    with pytest.raises(StoreError, match="come with a checkout"):
        quoted_tables(None)


def test_every_number_of_the_curated_tables_is_a_curated_one_with_its_source() -> None:
    known = {(q.label, q.text, q.source, q.evaluation) for q in read_reported(CURATED)}
    tables = quoted_tables(CURATED)

    assert {"imagenet", "transfer", "clustering", "video", "language"} <= {t.name for t in tables}
    for table in tables:
        for line in table.lines:
            for column, cell in zip(table.columns, line.cells, strict=True):
                if cell.value is not None:
                    assert (line.label, cell.text, cell.source, column.evaluation) in known
                    assert cell.marks
        assert "other methods" not in {line.group for line in table.lines}


def test_the_command_writes_them_without_a_figure_and_twice_the_same(tmp_path: Path) -> None:
    command = ["table", "reported", "--results", str(tmp_path)]

    first = CliRunner().invoke(app, command)
    folder = tmp_path / "tables" / "reported"
    bytes_before = {path.name: path.read_bytes() for path in folder.iterdir()}
    CliRunner().invoke(app, command)

    assert first.exit_code == 0, first.output
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == bytes_before
    assert {path.suffix for path in folder.iterdir()} == {".md", ".csv", ".tex", ".html", ".json"}
    tables = quoted_tables(CURATED)
    assert len(write_tables(Store(tmp_path), tables)) == 5 * len(tables)
