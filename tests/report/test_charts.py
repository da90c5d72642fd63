"""Charts of records: the tables' own numbers, the right front, and whatever is missing said."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from sslbench.report.charts.all import charts
from sslbench.report.charts.scores import Scores
from sslbench.report.frame import frame
from sslbench.report.grid import Table
from sslbench.report.picture import Picture
from sslbench.report.plots import STYLE, save
from sslbench.report.write import tables
from sslbench.spreads import ENDING, write_spreads
from sslbench.stats.spread import Spread
from sslbench.store import PlanFile, Row, Score

BLUE = "#0072B2"


def families(experiment: Any, seeds: int = 1) -> None:
    """Five methods of three families, with costs, and both baselines."""
    rows = {
        "hcsc": ("HCSC", "clustering", 41.0, 60.0),
        "moco": ("MoCo v2", "momentum encoder", 45.0, 30.0),
        "simclr": ("SimCLR", "end-to-end", 52.0, 45.0),
        "pcl": ("PCL v2", "clustering", 40.0, 70.0),
        "cpc": ("CPC", "end-to-end", 30.0, 200.0),
    }
    for seed in range(seeds):
        for label, (title, family, score, seconds) in rows.items():
            experiment.row(
                label,
                {"knn": score + seed, "linear": score + 5 - seed},
                seed,
                title=title,
                card={"family": family},
                pretrain={"seconds": seconds + 3 * seed, "images_seen": 100},
            )
        experiment.row("random", {"knn": 10.0, "linear": 12.0}, seed, title="Random")
        experiment.row("supervised", {"knn": 80.0, "linear": 82.0}, seed, title="Supervised")


def found(experiment: Any, **table: Any) -> tuple[dict[str, Picture], list[str]]:
    plan = experiment.plan(**table)
    made, left_out = charts(
        experiment.store, plan, frame(experiment.store, plan), tables(experiment.store, "tiny")
    )
    return {picture.name: picture for picture in made}, left_out


def drawn(picture: Picture) -> Figure:
    with mpl.rc_context():
        mpl.rcdefaults()
        settings: Any = mpl.rcParams
        settings.update(STYLE)
        figure = picture.draw()
        figure.draw_without_rendering()
    return figure


def scores(experiment: Any) -> Scores:
    plan = experiment.plan()
    built: list[Table] = tables(experiment.store, "tiny")
    return Scores(experiment.store, plan, frame(experiment.store, plan), built)


def more_evaluations(
    experiment: Any, row: Row, values: dict[str, float], setting: str = "neighbours"
) -> None:
    """Adds scores at several values of a setting to a row's record of kNN, with their spreads."""
    name = row.evaluations["knn"]
    record = experiment.store.record(row.run, name)
    assert record is not None
    items = {metric: experiment.answers(value) for metric, value in values.items()}
    spreads = {m: Spread(float(v.mean()), v, "items") for m, v in items.items()}
    spreads |= {"top1": Spread(record.scores["top1"].value, experiment.answers(40.0), "items")}
    digest = write_spreads(experiment.store.evaluation_file(row.run, name, ENDING), spreads)
    added = {
        metric: Score(value=float(v.mean()), unit="%", higher_is_better=True, n=len(v))
        for metric, v in items.items()
    }
    changed = {"scores": {**record.scores, **added}, "spread_sha256": digest}
    changed["fingerprint"] = {**record.fingerprint, "settings": {setting: []}}
    experiment.store.write_record(name, record.model_copy(update=changed))


# ---- all of them ------------------------------------------------------------------------------


def test_charts_need_no_torch() -> None:
    code = "import sslbench.report.charts.all, sys; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_same_records_make_the_same_pictures(experiment: Any, tmp_path: Path) -> None:
    families(experiment)
    once, _ = found(experiment)
    again, _ = found(experiment)

    assert list(once) == ["methods", "bars", "cost"]
    assert [p.inputs for p in once.values()] == [p.inputs for p in again.values()]
    assert [p.alternative for p in once.values()] == [p.alternative for p in again.values()]
    for name, picture in once.items():
        save(picture.draw, tmp_path / f"{name}.png", tmp_path / f"{name}.svg")
        save(again[name].draw, tmp_path / f"{name}2.png", tmp_path / f"{name}2.svg")
        for ending in ("png", "svg"):
            first = (tmp_path / f"{name}.{ending}").read_bytes()
            assert first == (tmp_path / f"{name}2.{ending}").read_bytes()


def test_inputs_change_with_the_numbers_that_are_drawn(experiment: Any) -> None:
    families(experiment)
    before, _ = found(experiment)
    experiment.store.write_manifest(
        experiment.store.manifest(experiment.rows[0].run).model_copy(update={"seconds": 61.0})
    )
    after, _ = found(experiment)

    changed = [name for name in before if before[name].inputs != after[name].inputs]
    assert changed == ["cost"]


def test_alternatives_name_the_best_three_with_their_numbers(experiment: Any) -> None:
    families(experiment)
    made, _ = found(experiment)

    assert "kNN top-1 (%): SimCLR 52.0 [" in made["methods"].alternative
    said = made["bars"].alternative.partition(";")[0]
    places = [said.index(name) for name in ("SimCLR 52.0", "MoCo v2 45.0", "HCSC 41.0")]
    assert places == sorted(places)
    assert "PCL" not in said
    assert "Supervised 80.0" in said


@pytest.mark.parametrize("methods", [1, 5, 30])
@pytest.mark.parametrize("seeds", [1, 2])
def test_all_text_lies_on_the_page_and_is_no_smaller_than_eight_points(
    experiment: Any, methods: int, seeds: int
) -> None:
    for seed in range(seeds):
        for number in range(methods):
            experiment.row(
                f"m{number}",
                {"knn": 30.0 + number / 3 + seed, "linear": 50.0 - number},
                seed,
                title=f"<b>A $method$ with a long_name & {number}",
                card={"family": "clustering" if number % 2 else "a family of one's own"},
                pretrain={"seconds": 20.0 + 7 * number},
            )
    made, _ = found(experiment)

    assert set(made) == ({"methods", "bars"} if methods == 1 else {"methods", "bars", "cost"})
    for name, picture in made.items():
        figure = drawn(picture)
        texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
        assert min(text.get_fontsize() for text in texts) >= 8
        drawn_on, (wide, high) = figure.get_tightbbox(), figure.get_size_inches()
        assert drawn_on.x0 >= 0, name
        assert drawn_on.y0 >= 0, name
        assert drawn_on.x1 <= wide, name
        assert drawn_on.y1 <= high, name


def test_nothing_measured_is_said_and_is_no_error(experiment: Any) -> None:
    experiment.row("moco", trained=False)
    experiment.row("hcsc", failed="nan", title="HCSC")
    made, left_out = found(experiment)

    assert made == {}
    assert len(left_out) == 9
    assert all(sentence.endswith(".") for sentence in left_out)


def test_a_plan_without_rows_has_no_pictures(experiment: Any) -> None:
    plan = PlanFile(suite="tiny", title="Tiny", command="", rows=(), tables={})
    made, left_out = charts(experiment.store, plan, frame(experiment.store, plan), [])

    assert made == []
    assert len(left_out) == 9


def test_a_damaged_spread_costs_only_the_pictures_that_need_it(experiment: Any) -> None:
    families(experiment)
    row, other = experiment.rows[:2]
    more_evaluations(experiment, other, {"top1_k5": 36.0, "top1_k20": 40.0})
    plan = experiment.plan(columns={"kNN top-1": "knn.top1"})
    numbers, built = frame(experiment.store, plan), tables(experiment.store, "tiny")
    experiment.store.evaluation_file(row.run, row.evaluations["linear"], ENDING).write_bytes(b"x")

    made, left_out = charts(experiment.store, plan, numbers, built)

    assert [picture.name for picture in made] == ["neighbours"]
    assert sum("is not the file that its record names" in sentence for sentence in left_out) == 3


# ---- single pictures --------------------------------------------------------------------------


def test_dots_stand_by_family_with_the_tables_own_numbers(experiment: Any) -> None:
    families(experiment, seeds=2)
    made, _ = found(experiment)
    axes = drawn(made["methods"]).axes[0]
    knn = [line.cells[0] for line in tables(experiment.store, "tiny")[0].lines]

    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == [
        *("end-to-end", "SimCLR", "CPC"),
        *("momentum encoder", "MoCo v2"),
        *("clustering", "HCSC", "PCL v2"),
    ]
    spans = [
        tuple(line.get_xdata())
        for line in axes.lines
        if line.get_color() == BLUE and len(line.get_xdata()) == 2
    ]
    assert sorted(spans) == sorted((cell.low, cell.high) for cell in knn[1:-1])


def test_bars_begin_at_zero_with_the_best_on_top_and_the_line_of_guessing(experiment: Any) -> None:
    families(experiment)
    row = experiment.rows[0]
    manifest = experiment.store.manifest(row.run)
    dataset = {"name": "shapes", "levels": [{"name": "kind", "classes": 8}]}
    config = {**manifest.config, "pretrain": {"epochs": 200, "dataset": dataset}}
    experiment.store.write_manifest(manifest.model_copy(update={"config": config}))
    made, _ = found(experiment)
    axes = drawn(made["bars"]).axes[0]

    widths = [bar.get_width() for bar in axes.patches]
    assert {bar.get_x() for bar in axes.patches} == {0.0}
    assert axes.get_xlim()[0] == 0.0
    assert widths == sorted(widths, reverse=True)
    assert len(widths) == 7
    assert [12.5, 12.5] in [list(line.get_xdata()) for line in axes.lines]
    assert "guessing 12.5" in made["bars"].alternative


def test_bars_of_many_methods_are_the_best_twelve_and_say_so(experiment: Any) -> None:
    for number in range(20):
        experiment.row(f"m{number}", {"knn": 30.0 + number}, title=f"M{number}")
    made, _ = found(experiment, columns={"kNN top-1": "knn.top1"})
    axes = drawn(made["bars"]).axes[0]

    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == [f"M{number}" for number in range(19, 7, -1)]
    assert "Only the best 12 of 20 methods" in made["bars"].caption


def test_rows_of_one_method_are_named_by_what_differs(experiment: Any) -> None:
    experiment.row("hcsc", {"knn": 40.0}, title="HCSC", card={"family": "clustering"})
    experiment.row("hcsc@one-level", {"knn": 41.0}, title="HCSC, one level")

    methods = scores(experiment).methods

    assert [(one.name, one.family) for one in methods] == [("HCSC", ""), ("one level", "")]


def test_knn_is_drawn_at_every_k_with_the_intervals_of_the_records(experiment: Any) -> None:
    k = {"top1_k200": 44.0, "top1_k20": 40.0, "top1_k5": 36.0}
    for seed in (0, 1):
        more_evaluations(experiment, experiment.row("moco", {"knn": 40.0}, seed, title="MoCo"), k)
    made, _ = found(experiment)
    axes = drawn(made["neighbours"]).axes[0]

    assert axes.get_xscale() == "log"
    line = next(one for one in axes.lines if one.get_color() == BLUE)
    assert list(line.get_xdata()) == [5, 20, 200]
    assert list(line.get_ydata()) == [36.0, 40.0, 44.0]
    # Both seeds were right on the same items: there is nothing but the items' variance.
    half = 1.96 * 100 * np.sqrt(0.36 * 0.64 / 2000)
    (band,) = (one for one in axes.collections if isinstance(one, PolyCollection))
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.min() == pytest.approx(36 - half, abs=0.02)
    assert made["neighbours"].alternative.startswith("Highest: MoCo 44.0 at k = 200")


def test_few_labels_are_drawn_against_their_number_and_are_no_neighbours(experiment: Any) -> None:
    row = experiment.row("moco", {"knn": 40.0}, title="MoCo")
    more_evaluations(experiment, row, {"top1_k1": 20.0, "top1_k5": 35.0}, "shots")
    made, left_out = found(experiment)
    axes = drawn(made["shots"]).axes[0]

    assert "neighbours" not in made
    assert any("no evaluation was measured with several numbers of neighb" in s for s in left_out)
    assert axes.get_xlabel() == "labelled images of a class"
    line = next(one for one in axes.lines if one.get_color() == BLUE)
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([1, 5], [20.0, 35.0])
    assert made["shots"].alternative == (
        "Highest: MoCo 35.0 at k = 5. The smallest k is the best for 0 of 1 methods."
    )


def test_layers_are_drawn_from_the_finest_to_the_output(experiment: Any) -> None:
    scores_of = {"top1_output": 41.0, "top1_layer10": 44.0, "top1_layer2": 36.0}
    for label, title in (("moco", "MoCo"), ("random", "Random")):
        row = experiment.row(label, {"knn": 40.0}, title=title)
        more_evaluations(experiment, row, scores_of, "layers")
    made, left_out = found(experiment)
    axes = drawn(made["layers"]).axes[0]

    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["2", "10", "output"]
    line = next(one for one in axes.lines if one.get_color() == BLUE)
    assert list(line.get_ydata()) == [36.0, 44.0, 41.0]
    assert made["layers"].alternative == (
        "Highest: MoCo 44.0 at layer 10. The last, the output, is the best for 0 of 1 methods."
    )
    assert not any("layers" in sentence for sentence in left_out)


def test_a_layer_of_another_score_is_not_drawn(experiment: Any) -> None:
    row = experiment.row("moco", {"knn": 40.0})
    more_evaluations(experiment, row, {"ap_layer0": 1.0, "ap_layer1": 2.0, "output": 3.0}, "layers")
    made, _ = found(experiment)

    assert "layers" not in made
