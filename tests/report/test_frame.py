"""Records as a tidy frame: every stage has a line, whatever became of it."""

from typing import Any

import pytest

from sslbench.errors import StoreError
from sslbench.report.frame import COLUMNS, COST_UNITS, frame


def lines(experiment: Any, evaluation: str) -> list[dict[str, Any]]:
    found = frame(experiment.store, experiment.plan())
    assert list(found.columns) == list(COLUMNS)
    return found[found["evaluation"] == evaluation].to_dict("records")


def test_a_score_keeps_its_interval_and_its_fingerprint(experiment: Any) -> None:
    experiment.row("moco", {"knn": (45.1, 43.0, 47.2)}, seed=3)

    (line,) = lines(experiment, "knn")

    assert (line["label"], line["seed"], line["metric"]) == ("moco", 3, "top1")
    assert (line["value"], line["low"], line["high"], line["level"]) == (45.1, 43.0, 47.2, 0.95)
    assert (line["n"], line["unit"], line["status"]) == (2000, "%", "done")
    assert (line["plugin"], line["dataset"], line["encoder"]) == ("knn", "shapes", "resnet18")
    assert len(line["fingerprint_sha256"]) == 64
    assert line["commit"] == "0123456789ab"


def test_cost_stands_beside_the_scores(experiment: Any) -> None:
    facts = {"seconds": 7200.0, "images_seen": 72000, "parameters": 11, "steps": 9}
    experiment.row("moco", pretrain={**facts, "peak_memory_gib": 1.5})

    cost = {line["metric"]: line["value"] for line in lines(experiment, "pretrain")}

    assert set(cost) == set(COST_UNITS)
    assert cost["seconds"] == 7200
    assert cost["images_per_second"] == 10
    assert cost["device_hours"] == 2
    assert (cost["peak_memory_gib"], cost["parameters"], cost["steps"]) == (1.5, 11, 9)


@pytest.mark.parametrize("seconds", [0.0, 0.001])  # to save it takes a moment
def test_an_untrained_encoder_has_no_speed(experiment: Any, seconds: float) -> None:
    experiment.row("random", pretrain={"seconds": seconds})

    found = {line["metric"]: line["status"] for line in lines(experiment, "pretrain")}

    assert found["images_per_second"] == "missing"
    assert found["seconds"] == "done"


def test_a_failed_run_fails_its_evaluations_with_the_reason(experiment: Any) -> None:
    experiment.row("moco", failed="loss is nan")

    for evaluation in ("pretrain", "knn", "linear"):
        (line,) = lines(experiment, evaluation)
        assert line["status"] == "failed"
        assert "loss is nan" in line["reason"]
        assert "step 7" in line["reason"]


def test_what_was_not_run_is_missing_and_what_cannot_apply_is_skipped(experiment: Any) -> None:
    experiment.row("moco", trained=False, skipped={"linear": "no labels"})

    assert [line["status"] for line in lines(experiment, "pretrain")] == ["missing"]
    assert [line["status"] for line in lines(experiment, "knn")] == ["missing"]
    (skipped,) = lines(experiment, "linear")
    assert (skipped["status"], skipped["reason"]) == ("skipped", "no labels")


def test_a_score_of_another_encoder_does_not_count(experiment: Any) -> None:
    experiment.row("moco", {"knn": 45.1}, pretrain={"encoder_digest": "of a later training"})

    assert [line["status"] for line in lines(experiment, "knn")] == ["missing"]


def test_a_damaged_record_is_an_error_with_its_path(experiment: Any) -> None:
    row = experiment.row("moco", {"knn": 45.1})
    path = experiment.store.evaluation_file(row.run, row.evaluations["knn"])
    path.write_text("{", encoding="utf-8")

    with pytest.raises(StoreError, match=r"knn-shapes-0123456789abcdef\.json"):
        lines(experiment, "knn")


def test_an_encoder_from_a_file_has_no_cost(experiment: Any) -> None:
    row = experiment.row("moco", {"knn": 40.0})
    manifest = experiment.store.manifest(row.run)
    config = {**manifest.config, "method": "weights"}
    experiment.store.write_manifest(manifest.model_copy(update={"config": config}))

    cost = lines(experiment, "pretrain")

    assert [line["status"] for line in cost] == ["missing"]
    assert [line["value"] for line in lines(experiment, "knn")] == [40.0]
