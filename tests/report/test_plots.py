"""Figures: readable, deterministic, and of the table's own numbers."""

import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from PIL import Image

from sslbench.report.grid import Table
from sslbench.report.plots import _figure, draw
from sslbench.report.write import tables


def table(experiment: Any) -> Table:
    experiment.row("random", {"knn": 10.0}, title="Random")
    experiment.row("moco", {"knn": (40.0, 38.0, 42.0), "linear": 51.0}, title="$MoCo$")
    experiment.row(
        "hcsc", failed="nan", title="A title that is much too long for a figure's margin"
    )
    experiment.plan()
    return tables(experiment.store, "tiny")[0]


def test_a_figure_shows_the_tables_numbers(experiment: Any) -> None:
    axes = _figure(table(experiment)).axes

    assert [panel.get_title() for panel in axes] == ["kNN top-1", "Linear top-1"]
    drawn = [line.get_xdata().tolist() for line in axes[0].lines if line.get_color() == "#0072B2"]
    assert drawn == [[38.0, 42.0], [40.0]]
    assert [text.get_text() for text in axes[0].texts] == ["40.0", "failed"]
    assert axes[0].get_yticklabels()[0].get_text() == r"\$MoCo\$"


def test_baselines_alone_are_rows(experiment: Any) -> None:
    experiment.row("random", {"knn": 10.0}, title="Random")
    experiment.row("supervised", {"knn": 60.0}, title="Supervised")
    experiment.plan()
    [axes, _] = _figure(tables(experiment.store, "tiny")[0]).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Random", "Supervised"]
    assert [text.get_text() for text in axes.texts] == ["10.0", "60.0"]


def test_a_legend_that_is_wider_than_its_figure_has_several_rows(experiment: Any) -> None:
    experiment.row("random", {"knn": 10.0}, title="Random initialisation")
    experiment.row("moco", {"knn": (40.0, 38.0, 42.0)})
    experiment.row("supervised", {"knn": 60.0}, title="Supervised")
    figure = _figure(experiment.table(columns={"kNN": "knn.top1"}))
    figure.canvas.draw()
    [legend] = figure.legends
    assert len(legend.get_texts()) == 3
    box, whole = legend.get_window_extent(), figure.bbox
    assert whole.x0 <= box.x0
    assert box.x1 <= whole.x1


def test_no_text_is_smaller_than_eight_points(experiment: Any) -> None:
    figure = _figure(table(experiment))

    texts = figure.findobj(mpl.text.Text)

    assert texts
    assert all(text.get_fontsize() >= 8 for text in texts)


def test_files_carry_no_time_and_do_not_depend_on_the_readers_settings(
    experiment: Any, tmp_path: Path
) -> None:
    made = table(experiment)
    draw(made, tmp_path / "a.png", tmp_path / "a.svg")
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "yellow"}):
        draw(made, tmp_path / "b.png", tmp_path / "b.svg")

    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    svg = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert svg == (tmp_path / "b.svg").read_text(encoding="utf-8")
    assert not re.search(r"\d{4}-\d\d-\d\dT", svg)
    with Image.open(tmp_path / "a.png") as image:
        assert not {"Software", "Creation Time", "date"} & set(image.info)
        assert image.width > 800


@pytest.mark.parametrize("columns", [1, 4, 7])
def test_any_number_of_columns_fits(experiment: Any, tmp_path: Path, columns: int) -> None:
    experiment.row("moco", trained=False)
    experiment.plan(columns={f"c{n}": "knn.top1" for n in range(columns)})

    draw(tables(experiment.store, "tiny")[0], tmp_path / "a.png", tmp_path / "a.svg")

    assert (tmp_path / "a.png").stat().st_size > 0
