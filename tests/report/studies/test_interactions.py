"""Tables of studies: differences from one base, and what two factors give together."""

from typing import Any

import numpy as np
import pytest

from sslbench.errors import StoreError
from sslbench.stats.crossed import crossed
from sslbench.stats.spread import Spread
from sslbench.study import PartFacts


def test_every_row_says_its_difference_from_the_base_with_the_interval(
    experiment: Any, studies: Any
) -> None:
    studies.filled(experiment, {"m@16": 30.0, "m": 40.0, "m@32": 40.0})
    studies.studied(experiment, studies.single())
    table = studies.built(experiment)["main"]
    assert [line.label for line in table.lines] == ["m", "m@16", "m@32"]
    assert [line.group for line in table.lines] == ["", "queue size", "queue size"]
    assert table.lines[0].cells[0].difference is None
    found = table.lines[1].cells[0]
    pairs = [studies.answers(30.0, s) - studies.answers(40.0, s) for s in (0, 1)]
    expected = crossed([Spread(float(p.mean()), p, "items") for p in pairs])
    assert found.difference is not None
    assert found.difference.value == pytest.approx(expected.mean)
    assert found.difference.low == pytest.approx(expected.low)
    half = expected.high - expected.mean
    assert found.difference_text == f"(−{-expected.mean:.1f} ± {half:.1f})"  # noqa: RUF001
    told = sum(
        not d.low <= 0 <= d.high
        for line in table.lines
        for cell in line.cells
        if (d := cell.difference) is not None and d.low is not None and d.high is not None
    )
    assert any(remark.startswith(f"{told} of 4 differences") for remark in table.remarks)


def test_a_part_shows_its_own_rows_alone_and_the_baselines_around_them(
    experiment: Any, studies: Any
) -> None:
    studies.filled(
        experiment, {"supervised": 90.0, "m": 40.0, "m@16": 30.0, "m@32": 35.0, "x": 1.0}
    )
    studies.filled(experiment, {"random": 10.0})
    part = studies.single()
    studies.studied(experiment, part)
    labels = [line.label for line in studies.built(experiment)["main"].lines]
    assert labels == ["random", "m", "m@16", "m@32", "supervised"]


def test_an_interaction_is_what_two_levels_give_beyond_their_sum(
    experiment: Any, studies: Any
) -> None:
    studies.filled(experiment, studies.square_scores)
    studies.studied(experiment, studies.square())
    table = studies.built(experiment)["main-knn-top1"]
    assert [line.title for line in table.lines] == ["queue: a", "queue: b"]
    assert [column.title for column in table.columns] == ["temperature: c", "temperature: d"]
    corner, *others = [cell for line in table.lines for cell in line.cells]
    assert all(cell.difference is None for cell in others)
    contrasts = [
        studies.answers(65.0, s)
        - studies.answers(45.0, s)
        - studies.answers(50.0, s)
        + studies.answers(40.0, s)
        for s in (0, 1)
    ]
    expected = crossed([Spread(float(c.mean()), c, "items") for c in contrasts])
    assert corner.difference is not None
    assert corner.difference.value == pytest.approx(expected.mean)
    assert (corner.difference.low, corner.difference.high) == pytest.approx(
        (expected.low, expected.high)
    )
    assert any("measured from queue: b, temperature: d" in remark for remark in table.remarks)


def test_crossings_that_were_not_measured_alike_are_refused_or_marked(
    experiment: Any, studies: Any
) -> None:
    studies.filled(experiment, studies.square_scores)
    studies.studied(experiment, studies.square())
    last = experiment.rows[-1]
    experiment.record(last, "knn", studies.answers(40.0, last.seed), settings={"k": 1})
    plan = experiment.store.plan("tiny")
    with pytest.raises(StoreError, match="its numbers were not measured alike"):
        studies.built(experiment)
    tables = {name: {**tree, "mixed": True} for name, tree in plan.tables.items()}
    experiment.store.write_plan(plan.model_copy(update={"tables": tables}))
    table = studies.built(experiment)["main-knn-top1"]
    assert any("measured with settings.k = 1 (else 20)" in note for note in table.footnotes)


def test_with_one_seed_an_interaction_is_paired_over_test_items(
    experiment: Any, studies: Any
) -> None:
    studies.filled(experiment, studies.square_scores, seeds=1)
    studies.studied(experiment, studies.square())
    change = studies.built(experiment)["main-knn-top1"].lines[0].cells[0].difference
    contrast = (
        studies.answers(65.0, 0)
        - studies.answers(45.0, 0)
        - studies.answers(50.0, 0)
        + studies.answers(40.0, 0)
    )
    half = 1.959964 * contrast.std(ddof=1) / studies.items**0.5
    assert change is not None
    assert (change.low, change.high) == pytest.approx(
        (contrast.mean() - half, contrast.mean() + half)
    )


def test_a_crossing_that_failed_stays_and_has_no_interaction(experiment: Any, studies: Any) -> None:
    studies.filled(
        experiment, {label: studies.square_scores[label] for label in ("m", "m@q", "m@t")}
    )
    for seed in (0, 1):
        experiment.row("m@qt", seed=seed, failed="loss is nan")
    plan = studies.studied(experiment, studies.square())
    table = studies.built(experiment)["main-knn-top1"]
    corner = table.lines[0].cells[0]
    assert (corner.text, corner.difference) == ("failed", None)
    assert "loss is nan" in table.footnotes[corner.marks[0] - 1]
    assert "main-heat-map" in studies.pictures(experiment, plan)


def test_pairs_have_each_alone_on_the_diagonal_and_no_upper_half(
    experiment: Any, studies: Any
) -> None:
    studies.filled(experiment, {"m": 20.0, "m@a": 30.0, "m@b": 35.0, "m@a,b": 60.0})
    levels = studies.factor("operation", "", None, a=(None, "m@a"), b=(None, "m@b"))
    part = PartFacts(
        name="main",
        design="pairs",
        base="m",
        places=studies.placed("m", "m@a", "m@b", "m@a,b"),
        factors=(levels,),
        cells=(("m@a", "m@a,b"), ("m@a,b", "m@b")),
        interactions=("main-knn-top1",),
    )
    plan = studies.studied(experiment, part)
    table = studies.built(experiment)["main-knn-top1"]
    alone, blank, both, _ = [cell for line in table.lines for cell in line.cells]
    assert (blank.text, alone.difference) == ("", None)
    means = {
        p: np.mean([studies.answers(p, s).mean() for s in (0, 1)]) for p in (20.0, 30.0, 35.0, 60.0)
    }
    assert both.difference is not None
    assert both.difference.value == pytest.approx(
        means[60.0] - means[30.0] - means[35.0] + means[20.0]
    )
    assert set(studies.pictures(experiment, plan)) == {"main-heat-map"}


def test_every_notation_can_write_an_interaction_table(experiment: Any, studies: Any) -> None:
    studies.filled(experiment, studies.square_scores)
    studies.studied(experiment, studies.square())
    table = studies.built(experiment)["main-knn-top1"]
    assert table.to_markdown().splitlines()[2].split("|")[1].strip() == ""
    assert "temperature: c" in table.to_latex()
    assert table.to_csv().count("\n") == 1 + 4
