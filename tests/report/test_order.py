"""Rows in groups, and differences from a chosen row."""

import csv
import io
from typing import Any

import pytest

from sslbench.errors import ConfigError

FAMILIES = {"moco": "queue", "pcl": "clusters", "simclr": "batch", "hcsc": "clusters"}


def four(experiment: Any) -> None:
    experiment.row("supervised", {"knn": 90.0}, title="Supervised")
    for seed in range(3):
        for place, (label, family) in enumerate(FAMILIES.items()):
            value = 40.0 + 5 * place
            card = {"family": family}
            experiment.row(label, {"knn": value}, title=label.upper(), seed=seed, card=card)
    experiment.row("random", {"knn": 10.0}, title="Random")


def test_rows_of_a_group_stand_together_in_the_order_of_its_first(experiment: Any) -> None:
    four(experiment)

    plain = [line.label for line in experiment.table().lines]
    table = experiment.table(group="family")

    assert plain == ["random", "moco", "pcl", "simclr", "hcsc", "supervised"]
    assert [(line.group, line.label) for line in table.lines] == [
        ("", "random"),
        ("queue", "moco"),
        ("clusters", "pcl"),
        ("clusters", "hcsc"),
        ("batch", "simclr"),
        ("", "supervised"),
    ]
    assert [len(block) for block in table.blocks] == [1, 1, 2, 1, 1]
    assert experiment.line(table, "hcsc").cells[0].bold
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert {row["group"] for row in rows if row["label"] == "pcl"} == {"clusters"}


def test_what_has_no_group_stands_together(experiment: Any) -> None:
    experiment.row("moco", {"knn": 40.0})
    experiment.row("pcl", {"knn": 40.0}, card={"family": "clusters"})
    experiment.row("byol", {"knn": 40.0}, card={"family": None})

    lines = experiment.table(group="family").lines

    assert [(line.group, line.label) for line in lines] == [
        ("other", "moco"),
        ("other", "byol"),
        ("clusters", "pcl"),
    ]


def test_every_row_says_its_difference_from_the_chosen_one(experiment: Any) -> None:
    four(experiment)

    table = experiment.table(against="pcl")

    texts = {line.label: line.cells[0].difference_text for line in table.lines}
    assert texts == {
        "random": "(\N{MINUS SIGN}35.0)",
        "moco": "(\N{MINUS SIGN}5.0)",
        "pcl": "",
        "simclr": "(+5.0)",
        "hcsc": "(+10.0)",
        "supervised": "(+45.0)",
    }
    assert "In parentheses: the difference from 'PCL', seed by seed." in table.remarks
    moco = experiment.line(table, "moco").cells[0].difference
    assert moco is not None
    assert moco.low is not None
    assert moco.low < moco.value == -5.0


def test_the_chosen_row_may_be_a_baseline(experiment: Any) -> None:
    four(experiment)

    table = experiment.table(against="supervised")

    assert experiment.knn(table, "moco").difference_text == "(\N{MINUS SIGN}50.0)"
    assert experiment.knn(table, "supervised").difference is None


def test_an_ablation_compares_with_its_first_row_or_with_a_chosen_one(experiment: Any) -> None:
    for label, value in (("hcsc", 40.0), ("hcsc@a", 42.0), ("hcsc@b", 43.0)):
        experiment.row(label, {"knn": value}, title=label)
    experiment.row("random", {"knn": 10.0})

    first = experiment.table()
    chosen = experiment.table(against="hcsc@a")

    assert [line.cells[0].difference_text for line in first.lines] == ["", "", "(+2.0)", "(+3.0)"]
    assert [line.cells[0].difference_text for line in chosen.lines] == [
        "(\N{MINUS SIGN}32.0)",
        "(\N{MINUS SIGN}2.0)",
        "",
        "(+1.0)",
    ]


def test_an_unknown_row_to_compare_with_is_an_error(experiment: Any) -> None:
    four(experiment)

    with pytest.raises(ConfigError, match=r"against: no row 'simlcr'. Rows: .*simclr"):
        experiment.table(against="simlcr")
