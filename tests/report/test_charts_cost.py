"""Accuracy against cost: the front by another algorithm, and names that can all be read."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from sslbench.report.charts.labels import Point, place_names
from sslbench.report.charts.pareto import _bargains, pareto, unit_of
from sslbench.report.charts.scores import Scores, costs
from sslbench.report.frame import frame


def scored(experiment: Any) -> Scores:
    plan = experiment.plan()
    return Scores(experiment.store, plan, frame(experiment.store, plan), [])


@pytest.mark.parametrize("seed", range(3))
def test_the_front_holds_what_a_sweep_from_the_cheapest_finds(experiment: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = {
        f"m{n}": (float(rng.integers(10, 30)), float(rng.integers(20, 60))) for n in range(25)
    }
    for label, (seconds, score) in points.items():
        experiment.row(label, {"knn": score}, pretrain={"seconds": seconds})
    scores = scored(experiment)

    found = _bargains(scores, scores.columns[0], costs(scores))

    best, expected = -1.0, set()
    for seconds in sorted({s for s, _ in points.values()}):  # the best of each cost, if better
        top = max(score for s, score in points.values() if s == seconds)
        if top > best:
            best = top
            expected |= {label for label, point in points.items() if point == (seconds, top)}
    assert {one.title for one in found if one.on_front} == expected


def test_a_method_without_cost_or_score_is_left_out(experiment: Any) -> None:
    experiment.row("a", {"knn": 40.0}, pretrain={"seconds": 20.0})
    experiment.row("b", {"knn": 45.0}, pretrain={"seconds": 40.0})
    experiment.row("c", {}, pretrain={"seconds": 10.0})
    experiment.row("d", failed="nan")
    (picture,), left_out = pareto(scored(experiment))

    assert not left_out
    assert "on the front of 2 methods" in picture.alternative
    assert "b with 45.0 % for 0.667 device minutes" in picture.alternative


def test_times_of_several_machines_are_said_not_to_compare(experiment: Any) -> None:
    for label, machine in (("a", "One CPU"), ("b", "Another GPU")):
        row = experiment.row(label, {"knn": 40.0}, pretrain={"seconds": 20.0})
        manifest = experiment.store.manifest(row.run)
        there = manifest.environment.model_copy(update={"machine": machine})
        experiment.store.write_manifest(manifest.model_copy(update={"environment": there}))
    (picture,), _ = pareto(scored(experiment))

    assert "2 machines and do not compare: Another GPU (cpu); One CPU (cpu)" in picture.caption


def test_hours_are_written_in_a_unit_in_which_they_can_be_read() -> None:
    assert unit_of([0.001, 2.0]) == (1.0, "device hours")
    assert unit_of([0.02]) == (60.0, "device minutes")
    assert unit_of([0.0001]) == (3600.0, "device seconds")


@pytest.mark.parametrize("count", [3, 40])
def test_names_overlap_neither_one_another_nor_a_point(count: int) -> None:
    rng = np.random.default_rng(0)
    figure = Figure(figsize=(4, 3))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    points = [
        Point(float(x), float(y), f"Method {n}") for n, (x, y) in enumerate(rng.random((count, 2)))
    ]

    without = place_names(axes, points)

    named = [t for t in axes.texts if isinstance(t, Annotation) and t.get_text()]
    assert {t.get_text() for t in named} | set(without) == {point.name for point in points}
    assert points[0].name not in without  # those in front come first
    assert len(named) >= min(count, 12)
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [text.get_window_extent(renderer) for text in named]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    dots = axes.transData.transform([(point.x, point.y) for point in points])
    assert not any(box.contains(x, y) for box in boxes for x, y in dots)
    inside = axes.get_window_extent(renderer)
    assert all(inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1) for box in boxes)
