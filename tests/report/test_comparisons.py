"""What a table says of seeds, test images, differences and ties."""

from typing import Any

import numpy as np
import pytest

from sslbench.errors import ConfigError, StoreError
from sslbench.spreads import write_spreads
from sslbench.stats.spread import Spread


def test_several_seeds_show_mean_and_half_interval(experiment: Any) -> None:
    # Items of independent outcomes share nothing, so that Student's t over the seeds remains.
    generator = np.random.Generator(np.random.PCG64(0))
    for seed, value in enumerate((44.0, 45.0, 46.0)):
        items = generator.permutation(experiment.answers(value))
        experiment.row("moco", {"knn": items}, seed=seed)

    found = experiment.table()

    cell = experiment.knn(found, "moco")
    assert cell.text == "45.0"
    assert float(cell.spread.removeprefix("± ")) == pytest.approx(2.5, abs=0.3)  # 4.303 / sqrt(3)
    assert cell.seeds == {0: 44.0, 1: 45.0, 2: 46.0}
    assert cell.interval == "Student's t over 3 seeds crossed with 2000 test items"
    assert found.headings[-1] == "Seeds"
    assert experiment.line(found, "moco").described == ("3",)


def test_intervals_over_sets_of_other_sizes_are_one_way(experiment: Any) -> None:
    for seed in range(2):
        few = experiment.answers(50.0, items=72)
        experiment.row("moco", {"knn": 45.0, "linear": few}, seed=seed)

    remarks = experiment.table().remarks

    assert remarks[0] == (
        "±: half of the 95 % interval, Student's t over 2 seeds crossed with 72 or 2000 test items."
    )


def test_images_that_all_seeds_share_widen_the_interval(experiment: Any) -> None:
    for seed in range(3):  # the same 900 of 2,000 images every time: no seed differs
        experiment.row("moco", {"knn": experiment.answers(45.0)}, seed=seed)

    cell = experiment.knn(experiment.table(), "moco")

    assert float(cell.spread.removeprefix("± ")) == pytest.approx(2.2, abs=0.05)  # 1.96 sqrt(pq/n)


def test_one_seed_is_never_bold_and_the_line_below_says_of_what_it_speaks(experiment: Any) -> None:
    experiment.row("moco", {"knn": 40.0, "linear": 50.0})
    experiment.row("hcsc", {"knn": 45.0, "linear": 50.1})

    found = experiment.table()

    assert not any(cell.bold for one in found.lines for cell in one.cells)
    assert [cell.tied for cell in experiment.line(found, "hcsc").cells] == [False, True]
    assert [cell.tied for cell in experiment.line(found, "moco").cells] == [False, True]
    said = " ".join(found.remarks)
    assert "these runs alone, not of the methods (McNemar" in said
    assert "ahead of every other run is hcsc in kNN top-1. Nothing is bold" in said


def test_bold_needs_several_seeds_and_separation(experiment: Any) -> None:
    for seed in range(3):
        experiment.row("moco", {"knn": 40.0 + seed / 10, "linear": 50.0 + seed}, seed=seed)
        experiment.row("hcsc", {"knn": 45.0 + seed / 10, "linear": 51.0 - seed}, seed=seed)

    found = experiment.table()

    assert [cell.bold for cell in experiment.line(found, "hcsc").cells] == [True, False]
    assert [cell.bold for cell in experiment.line(found, "moco").cells] == [False, False]
    assert [cell.tied for cell in experiment.line(found, "moco").cells] == [False, True]
    leader = found.leaders[0]
    assert leader is not None
    assert (leader.claim, list(leader.p_values)) == ("methods", ["moco"])
    assert leader.p_values["moco"] < 0.001


def test_two_seeds_are_too_few_for_bold(experiment: Any) -> None:
    for seed in range(2):
        experiment.row("moco", {"knn": 40.0}, seed=seed)
        experiment.row("hcsc", {"knn": 55.0}, seed=seed)

    found = experiment.table()

    assert not any(cell.bold or cell.tied for one in found.lines for cell in one.cells)
    assert any("Nothing is bold" in text and "three seeds" in text for text in found.remarks)


@pytest.mark.parametrize("value", [5.0, 90.0])
def test_a_row_of_one_seed_among_several_is_marked_and_costs_bold_only_where_it_is_better(
    experiment: Any, value: float
) -> None:
    for seed in range(3):
        experiment.row("moco", {"knn": 40.0, "linear": 40.0}, seed=seed)
        experiment.row("hcsc", {"knn": 45.0, "linear": 45.0}, seed=seed)
    experiment.row("file", {"knn": value})

    found = experiment.table()

    assert not any(cell.tied for line in found.lines for cell in line.cells)
    bold = [cell.bold for cell in experiment.line(found, "hcsc").cells]
    assert bold == [value < 45, True]
    one = experiment.knn(found, "file")
    assert experiment.notes(found, one) == [
        "Not compared with the best: it has other seeds, or other test items."
    ]
    assert not any("Nothing is bold" in remark for remark in found.remarks)


def test_a_setting_chosen_at_an_end_of_its_grid_is_marked(experiment: Any) -> None:
    for seed in range(2):
        row = experiment.row("moco", {"knn": 40.0}, seed=seed)
        experiment.record(row, "linear", 50.0, chosen={"lr": 0.1, "lr_at_edge": seed == 1})

    found = experiment.table()

    knn, linear = experiment.line(found, "moco").cells
    assert experiment.notes(found, knn) == []
    assert experiment.notes(found, linear) == [
        "lr was chosen at an end of what was tried, in one seed or more: more may be possible."
    ]


def test_a_baseline_is_never_bold_and_never_in_the_way(experiment: Any) -> None:
    for seed in range(3):
        experiment.row("supervised", {"knn": 90.0}, seed=seed)
        experiment.row("moco", {"knn": 40.0}, seed=seed)
        experiment.row("hcsc", {"knn": 45.0}, seed=seed)

    found = experiment.table()

    assert [experiment.knn(found, label).bold for label in ("supervised", "hcsc")] == [False, True]


def test_a_mean_over_what_survived_is_marked_and_not_bold(experiment: Any) -> None:
    for seed in range(3):
        experiment.row("moco", {"knn": 40.0 + seed}, seed=seed)
        lost = {"failed": "loss is nan"} if seed == 2 else {"scores": {"knn": 60.0 + seed}}
        experiment.row("hcsc", seed=seed, **lost)

    found = experiment.table()

    cell = experiment.knn(found, "hcsc")
    assert (cell.text, cell.bold) == ("60.5", False)
    assert "seed 2 failed" in experiment.notes(found, cell)[0]
    assert "2 of 3 seeds" in experiment.notes(found, cell)[0]


def test_an_ablation_shows_what_differs_and_by_how_much(experiment: Any) -> None:
    common = {"momentum": 0.99}
    for label, negatives, shift in (("hcsc", "semantic", 0), ("hcsc@all", "all", -2)):
        for seed in (0, 1):
            params = {**common, "pairs": {"instance_negatives": negatives}, "levels": [3, 2]}
            value = 45.0 + 5 * seed + shift
            experiment.row(label, {"knn": value}, seed=seed, params=params)
    experiment.row("random", {"knn": 10.0})

    found = experiment.table()

    assert found.headings == ("instance negatives", "Seeds")
    assert [one.described[0] for one in found.lines] == ["", "semantic", "all"]
    change = experiment.knn(found, "hcsc@all").difference
    assert change is not None
    assert change.value == pytest.approx(-2.0)  # seed by seed
    assert change.low is not None
    assert change.high is not None
    # Two of a hundred images, other ones for each seed: 1.96 sqrt(0.02 x 0.98 / 2,000 / 2) = 0.43.
    assert change.low == pytest.approx(-2.43, abs=0.01)
    assert change.high == pytest.approx(-1.57, abs=0.01)
    assert experiment.knn(found, "hcsc@all").difference_text == "(−2.0)"  # noqa: RUF001
    assert experiment.knn(found, "hcsc").difference is None
    assert experiment.knn(found, "random").difference is None


def test_a_difference_within_runs_is_not_compared_with_the_first_rows(experiment: Any) -> None:
    for label, levels in (("hcsc", 3), ("hcsc@one", 1)):
        experiment.row(label, {"knn": 45.0, "linear": 44.0}, params={"levels": levels})

    found = experiment.table(columns={"k": "knn.top1", "Gap": "knn.top1 - linear.top1"})

    changes = [cell.difference for cell in experiment.line(found, "hcsc@one").cells]
    assert changes[0] is not None
    assert changes[1] is None


def test_a_difference_of_two_scores_is_taken_within_each_run(experiment: Any) -> None:
    for seed, (one, two) in enumerate(((40.0, 38.0), (41.0, 39.5))):
        experiment.row("moco", {"knn": one, "linear": two}, seed=seed)
    experiment.row("hcsc", {"knn": 40.0})

    found = experiment.table(columns={"Optimism": "knn.top1 - linear.top1"})

    cell = experiment.knn(found, "moco")
    assert cell.seeds == {0: 2.0, 1: 1.5}
    assert (cell.text, found.columns[0].heading) == ("+1.8", "Optimism (points)")
    assert experiment.knn(found, "hcsc").status == "missing"
    assert not any(cell.bold or cell.tied for one in found.lines for cell in one.cells)
    assert found.leaders == (None,)
    assert any("Optimism: knn.top1 - linear.top1" in remark for remark in found.remarks)


def test_a_column_that_peeked_says_so_in_its_heading_and_has_no_leader(experiment: Any) -> None:
    for label, value in (("moco", 40.0), ("hcsc", 45.0)):
        row = experiment.row(label, {"linear": value - 1})
        experiment.record(row, "knn", value, selection="paper")
    columns = {"P": "knn.top1", "L": "linear.top1", "Gap": "knn.top1 - linear.top1"}

    found = experiment.table(columns=columns)

    headings = [column.heading for column in found.columns]
    assert headings == ["P, best on test (%)", "L (%)", "Gap (points)"]
    assert [leader is None for leader in found.leaders] == [True, False, True]
    assert any(text.startswith("Best on test: the test images") for text in found.remarks)


def test_one_seeds_difference_has_the_paired_interval_of_its_test_items(experiment: Any) -> None:
    experiment.row("moco", {"knn": 40.0, "linear": 38.0})  # 40 of 2,000 items differ

    cell = experiment.knn(experiment.table(columns={"Optimism": "knn.top1 - linear.top1"}), "moco")

    assert (cell.text, cell.spread) == ("+2.0", "[1.4, 2.6]")
    assert cell.interval == "paired over 2000 test items"


@pytest.mark.parametrize("second", ["pretrain.seconds", "knn.top"])
def test_a_difference_of_what_is_no_score_is_a_mistake(experiment: Any, second: str) -> None:
    experiment.row("moco", {"knn": 40.0})

    with pytest.raises(ConfigError, match=r"costs have no difference|no metric"):
        experiment.table(columns={"x": f"knn.top1 - {second}"})


def test_fewer_than_five_data_sets_have_no_ranks_and_the_table_says_so(experiment: Any) -> None:
    experiment.row("moco", {"knn": 40.0, "linear": 50.0})
    experiment.row("hcsc", {"knn": 45.0, "linear": 51.0})

    found = experiment.table()

    assert found.ranking is None
    assert any("1 data set, and a comparison of ranks needs" in text for text in found.remarks)


def test_a_spread_that_is_not_the_records_is_refused(experiment: Any) -> None:
    row = experiment.row("moco", {"knn": 40.0})
    path = experiment.store.evaluation_file(row.run, row.evaluations["knn"], "spread.parquet")
    write_spreads(path, {"top1": Spread(41.0, experiment.answers(41.0), "items")})

    with pytest.raises(StoreError, match=r"spread\.parquet: is not the file that its record names"):
        experiment.table()

    path.unlink()
    with pytest.raises(StoreError, match=r"spread\.parquet: cannot be read"):
        experiment.table()
