"""What a table shows, and that nothing vanishes from it."""

from typing import Any

import pytest

from sslbench.errors import ConfigError, StoreError


def test_methods_stand_as_planned_between_the_baselines(experiment: Any) -> None:
    for label in ("supervised", "pcl", "random", "hcsc", "moco"):
        experiment.row(label)

    found = experiment.table()

    blocks = [[one.label for one in block] for block in found.blocks]
    assert blocks == [["random"], ["pcl", "hcsc", "moco"], ["supervised"]]


def test_without_any_run_there_is_a_table_of_dashes(experiment: Any) -> None:
    experiment.row("moco", trained=False)
    experiment.row("hcsc", trained=False)

    found = experiment.table()

    assert [[cell.text for cell in one.cells] for one in found.lines] == [["–", "–"]] * 2  # noqa: RUF001
    assert found.provenance.runs == 0


def test_one_seed_shows_its_interval(experiment: Any) -> None:
    experiment.row("moco", {"knn": (45.12, 43.0, 47.25)})

    found = experiment.table()

    cell = experiment.knn(found, "moco")
    assert (cell.text, cell.spread) == ("45.1", "[43.0, 47.2]")
    assert "Seeds" not in found.headings
    assert any("this run on other test images" in remark for remark in found.remarks)


def test_failed_and_skipped_have_their_reasons_below(experiment: Any) -> None:
    experiment.row("moco", failed="loss is nan", skipped={"linear": "needs labels"})

    found = experiment.table()

    failed, skipped = experiment.line(found, "moco").cells
    assert (failed.text, skipped.text) == ("failed", "skipped")
    assert "loss is nan" in experiment.notes(found, failed)[0]
    assert experiment.notes(found, skipped) == ["needs labels"]


def test_an_exception_marks_its_row_and_equal_notes_share_a_number(experiment: Any) -> None:
    experiment.row("moco", notes=("pretrain.batch_size = 4096",))
    experiment.row("hcsc", notes=("pretrain.batch_size = 4096",))

    found = experiment.table()

    assert found.footnotes == ("pretrain.batch_size = 4096",)
    assert experiment.line(found, "moco").marks == experiment.line(found, "hcsc").marks == (1,)


def test_the_card_describes(experiment: Any) -> None:
    experiment.row("moco", card={"year": 2020, "momentum_encoder": True})
    experiment.row("simclr", card={"momentum_encoder": False})
    experiment.row("random")

    found = experiment.table(describe=["year", "momentum_encoder"])

    assert found.headings == ("Year", "Momentum encoder")
    assert experiment.line(found, "moco").described == ("2020", "yes")
    assert experiment.line(found, "simclr").described == ("–", "no")  # noqa: RUF001
    assert experiment.line(found, "random").described == ("", "")


def test_an_ablation_leaves_blank_what_is_as_in_its_first_row(experiment: Any) -> None:
    for label, levels, negatives in (
        ("hcsc", 3, "semantic"),
        ("a", 3, "all"),
        ("b", 1, "semantic"),
    ):
        name = label if label == "hcsc" else f"hcsc@{label}"
        params = {"levels": levels, "instance_negatives": negatives}
        experiment.row(name, {"knn": 45.0}, params=params, card={"year": 2022})
    found = experiment.table(describe=["year"])
    assert found.headings == ("levels", "instance negatives")
    assert [one.described for one in found.lines] == [("3", "semantic"), ("", "all"), ("1", "")]


def test_rows_of_several_methods_have_no_such_columns(experiment: Any) -> None:
    experiment.row("moco", {"knn": 40.0}, params={"temperature": 0.2})
    experiment.row("hcsc", {"knn": 45.0}, params={"temperature": 0.1})

    found = experiment.table()

    assert found.headings == ()
    assert experiment.knn(found, "hcsc").difference is None


def test_health_stands_in_the_table_and_counts_its_seeds(experiment: Any) -> None:
    for seed, verdict in enumerate(("healthy", "healthy", "cluster collapse")):
        experiment.row(
            "pcl", {"knn": 40.0}, seed=seed, pretrain={"health": experiment.health(verdict)}
        )
    experiment.row("moco", {"knn": 41.0}, pretrain={"health": experiment.health("healthy")})
    experiment.row(
        "hcsc", failed="nan", pretrain={"health": experiment.health("diverged at step 7")}
    )
    experiment.row(
        "random", {"knn": 9.0}, pretrain={"health": experiment.health("dimensional collapse")}
    )

    found = experiment.table()

    assert found.headings[-1] == "Health"
    assert experiment.line(found, "pcl").described[-1] == "2 healthy, 1 cluster collapse"
    assert experiment.line(found, "moco").described[-1] == "healthy"
    assert experiment.line(found, "hcsc").described[-1] == "diverged at step 7"
    assert experiment.line(found, "random").described[-1] == ""  # nothing was trained


def test_a_column_refuses_to_mix_fingerprints(experiment: Any) -> None:
    experiment.row("moco", {"knn": 40.0})
    experiment.row("pcl", {"knn": 41.0})
    experiment.row("hcsc", {"knn": 45.0}, settings={"k": 10})

    with pytest.raises(
        StoreError, match=r"kNN top-1.*hcsc \(seed 0\): settings.k = 10 \(else 20\)"
    ):
        experiment.table()


def test_a_mixed_column_that_is_allowed_marks_what_differs(experiment: Any) -> None:
    experiment.row("moco", {"knn": (40.0, 39.0, 41.0)})
    experiment.row("pcl", {"knn": (41.0, 40.0, 42.0)})
    experiment.row("hcsc", {"knn": (55.0, 54.0, 56.0)}, settings={"k": 10})

    found = experiment.table(mixed=True)

    assert found.leaders[0] is None
    assert experiment.notes(found, experiment.knn(found, "hcsc")) == [
        "measured with settings.k = 10 (else 20)"
    ]
    assert experiment.knn(found, "moco").marks == ()
    assert not any(experiment.knn(found, label).bold for label in ("moco", "pcl", "hcsc"))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("kn.top1", "no evaluation 'kn'. Did you mean 'knn'"),
        ("knn.top", "no metric 'top'. Did you mean 'top1'"),
        ("pretrain.second", "no cost 'second'. Did you mean 'seconds'"),
        ("knn", "expected EVALUATION.METRIC"),
    ],
)
def test_a_column_that_nothing_has_is_a_mistake(experiment: Any, key: str, message: str) -> None:
    experiment.row("moco", {"knn": 40.0})

    with pytest.raises(ConfigError, match=message):
        experiment.table(columns={"kNN": key})


def test_cost_is_written_to_three_figures_and_is_not_bold(experiment: Any) -> None:
    for label, seconds in (("moco", 3.14159), ("hcsc", 1234.5)):
        facts = {"seconds": seconds, "parameters": 11176512, "images_seen": 100}
        experiment.row(label, pretrain=facts)

    found = experiment.table(columns={"Time": "pretrain.seconds", "Size": "pretrain.parameters"})

    texts = [[cell.text for cell in one.cells] for one in found.lines]
    assert texts == [["3.14", "11,176,512"], ["1,234", "11,176,512"]]
    assert [column.heading for column in found.columns] == ["Time (s)", "Size"]
    assert not any(cell.bold for one in found.lines for cell in one.cells)


def test_provenance_is_that_of_the_records(experiment: Any) -> None:
    experiment.row("moco", {"knn": 40.0})
    experiment.row("hcsc", trained=False)

    sentence = experiment.table().provenance.sentence

    assert "1 of 2 runs" in sentence
    assert "commit 0123456789ab" in sentence
    assert "Example CPU, 2 cores (cpu)" in sentence
    assert "sslbench run --suite tiny" in sentence
