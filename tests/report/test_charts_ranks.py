"""Rankings of tables as pictures, and how many things share one."""

from dataclasses import replace
from typing import Any

from matplotlib.figure import Figure

from sslbench.report.charts.ranks import ranks
from sslbench.report.charts.styles import shared_out
from sslbench.report.grid import Ranking


def test_a_ranking_of_a_table_is_a_picture(experiment: Any) -> None:
    experiment.row("moco", {"knn": 40.0})
    ranking = Ranking(("a", "b", "c"), {"B": 2.0, "A": 1.0}, 0.9, 0.03, "Friedman", (("A", "B"),))
    table = experiment.table()

    (picture,), left_out = ranks([table, replace(table, ranking=ranking)])

    assert not left_out
    assert picture.name == "ranks-main"
    assert "A 1.00, B 2.00" in picture.alternative
    assert isinstance(picture.draw(), Figure)


def test_the_line_of_forty_ranks_has_numbers_that_can_be_told_apart(experiment: Any) -> None:
    experiment.row("moco", {"knn": 40.0})
    mean_ranks = {f"M{n}": float(n) for n in range(1, 41)}
    ranking = Ranking(("a", "b", "c"), mean_ranks, None, 0.5, "Friedman", ())
    (picture,), _ = ranks([replace(experiment.table(), ranking=ranking)])

    axes = picture.draw().axes[0]

    assert [t.get_text() for t in axes.texts if t.get_text().isdigit()][:3] == ["1", "3", "5"]


def test_parts_are_few_and_about_as_long() -> None:
    assert shared_out([], 4) == []
    assert shared_out(list(range(4)), 4) == [[0, 1, 2, 3]]
    for count in range(1, 60):
        parts = shared_out(list(range(count)), 7)
        assert [item for part in parts for item in part] == list(range(count))
        assert len(parts) == -(-count // 7)
        lengths = [len(part) for part in parts]
        assert max(lengths) <= 7
        assert max(lengths) - min(lengths) <= 1
