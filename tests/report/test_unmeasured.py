"""A column may name what it is of: empty while nothing measures it, filled as soon as it is."""

from typing import Any

from sslbench.report.write import tables

COLUMNS = {"kNN": "knn.top1", "VOC07": "svm/voc2007.map", "Linear": "linear_probe/shapes.top1"}


def test_a_column_without_an_evaluation_says_so_once(experiment: Any) -> None:
    for label in ("moco", "hcsc"):
        experiment.row(label, {"knn": 40.0, "linear": 50.0})

    table = experiment.table(columns=COLUMNS)

    assert [cell.status for cell in table.lines[0].cells] == ["done", "missing", "done"]
    assert table.footnotes == ("No evaluation of this suite measures it.",)
    assert [cell.marks for line in table.lines for cell in line.cells] == 2 * [(), (1,), ()][:6]
    assert table.leaders[1] is None


def test_a_column_is_of_whichever_evaluation_measures_it(experiment: Any) -> None:
    experiment.row("moco", {"knn": 40.0, "linear": 50.0})

    column = experiment.table(columns=COLUMNS).columns[2]

    assert (column.evaluation, column.metric) == ("linear", "top1")


def test_what_is_published_stands_beside_an_empty_cell(
    experiment: Any, quoted_row: Any, tmp_path: Any
) -> None:
    experiment.row("moco", {"knn": 40.0}, title="MoCo")
    experiment.plan(columns=COLUMNS, reported=True)
    folder = quoted_row(
        tmp_path,
        {"evaluation": "svm/voc2007", "metric": "map", "value": "81.0", "encoder": "resnet50"},
        {"evaluation": "svm/voc2007", "metric": "map", "value": "71.0", "encoder": "resnet18"},
    )

    line = tables(experiment.store, "tiny", folder)[0].lines[1]

    assert line.kind == "reported"
    assert [cell.text for cell in line.cells] == ["", "71.0", ""]
    assert [cell.verdict for cell in line.cells] == ["", "", ""]
