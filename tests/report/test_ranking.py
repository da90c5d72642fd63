"""Ranks over data sets stand under a table from five data sets on."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from sslbench.report.grid import Cell, Column, Line, Provenance, Table
from sslbench.report.ranking import ranking
from sslbench.report.write import write_tables
from sslbench.store import Store

DATASETS = {f"e{n}": f"set{n}" for n in range(6)}


def columns(count: int, higher: bool = True) -> list[Column]:
    return [Column(f"C{n}", f"e{n}", "top1", "%", higher) for n in range(count)]


def line(title: str, values: list[float | None], kind: str = "method") -> Line:
    cells = [
        Cell("missing", "-") if v is None else Cell("done", f"{v}", value=v, seeds={0: v})
        for v in values
    ]
    return Line(kind, title.lower(), title, (), tuple(cells))  # type: ignore[arg-type]


def test_five_data_sets_have_ranks_of_the_methods_only() -> None:
    lines = [
        line("Random", [99.0] * 5, "random"),
        line("A", [1.0, 2.0, 3.0, 4.0, 5.0]),
        line("B", [2.0, 3.0, 4.0, 5.0, 6.0]),
        line("C", [3.0, 4.0, 5.0, 6.0, 5.5]),
    ]

    found, said = ranking(lines, columns(5), DATASETS)

    assert found is not None
    # C is first on four sets and second on one; A last on all.
    assert found.mean_ranks == {"A": 3.0, "B": pytest.approx(1.8), "C": pytest.approx(1.2)}
    assert found.datasets == ("set0", "set1", "set2", "set3", "set4")
    assert "Mean ranks over 5 data sets" in said[0]
    assert "C 1.20, B 1.80, A 3.00; Friedman and Nemenyi, p = " in said[0]


def test_where_less_is_better_ranks_turn_round() -> None:
    lines = [line("A", [1.0] * 5), line("B", [2.0] * 5), line("C", [3.0] * 5)]

    up, _ = ranking(lines, columns(5), DATASETS)
    down, _ = ranking(lines, columns(5, higher=False), DATASETS)

    assert up is not None
    assert down is not None
    assert (up.mean_ranks["C"], down.mean_ranks["C"]) == (1.0, 3.0)


def test_two_columns_on_one_data_set_count_once() -> None:
    lines = [line("A", [1.0] * 5), line("B", [2.0] * 5)]

    found, said = ranking(lines, columns(5), {**DATASETS, "e4": "set0"})

    assert found is None
    assert said[0].startswith("No ranks over data sets: this table has 4 data sets")


def test_a_method_without_a_number_is_left_out_and_named() -> None:
    lines = [line("A", [1.0] * 5), line("B", [2.0] * 5), line("C", [3.0] * 4 + [None])]

    found, said = ranking(lines, columns(5), DATASETS)

    assert found is not None
    assert list(found.mean_ranks) == ["A", "B"]
    assert "Without C: a number is missing" in said[0]


def test_the_diagram_is_drawn_beside_the_table_and_goes_with_the_ranks(tmp_path: Path) -> None:
    lines = tuple(line(name, [value] * 5) for name, value in (("A", 1.0), ("B", 2.0), ("C", 3.0)))
    ranks, _ = ranking(lines, columns(5), DATASETS)
    provenance = Provenance("sslbench run", 1, 1, (), ())
    table = Table(
        "tiny",
        "main",
        "T",
        "",
        (),
        tuple(columns(5)),
        lines,
        (),
        (None,) * 5,
        ranks,
        (),
        provenance,
    )
    store = Store(tmp_path)

    paths = write_tables(store, [table])

    drawn = [path for path in paths if path.name == "main-ranks.png"]
    assert len(drawn) == 1
    with Image.open(drawn[0]) as picture:
        assert picture.width > 1000
    write_tables(store, [replace(table, ranking=None)])
    assert not drawn[0].exists()
