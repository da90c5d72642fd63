"""Curves of trainings: read as they were written, averaged where all seeds are, verdicts marked."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sslbench.errors import StoreError
from sslbench.health.verdict import Health
from sslbench.report.charts.healths import healths
from sslbench.report.charts.logs import READINGS, read_log
from sslbench.report.charts.scores import Scores
from sslbench.report.charts.training import training
from sslbench.report.charts.trainings import Read, mean_line, trainings
from sslbench.report.frame import frame

ORANGE = "#D55E00"
UNTRAINED = {"spread_share": 0.3, "neighbours": 0.06}
HEALTHY = Health(
    verdict="healthy", untrained=UNTRAINED, thresholds={"spread": 0.6, "neighbours": 1.5}
)


def reading(step: int, **terms: float) -> dict[str, Any]:
    loss = {"loss": sum(terms.values()), **terms}
    norms = {"gradient_norm": 1.0, "largest_gradient_norm": 2.0, "weight_norm": 40.0}
    return {"step": step, "epoch": step // 50, "seconds": step / 10, **loss, **norms, "lr": 0.1}


def signals(epoch: int, **found: float) -> dict[str, Any]:
    return {"step": 50 * (epoch + 1), "epoch": epoch, "seconds": 1.0, "health": found}


def log(experiment: Any, run: str, lines: list[dict[str, Any]]) -> Path:
    path: Path = experiment.store.run_folder(run) / "train.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def trained(experiment: Any, label: str, seed: int, health: Health, last: int = 200) -> None:
    row = experiment.row(
        label, {"knn": 40.0}, seed, title=label.upper(), pretrain={"health": health}
    )
    lines = [reading(step, nce=9 - step / 50 + seed) for step in range(20, last + 1, 20)]
    shown = [
        signals(e, spread_share=0.3 + e / 20, neighbours=0.1 + e / 10) for e in range(last // 50)
    ]
    log(experiment, row.run, lines + shown)


def logs(experiment: Any) -> tuple[Scores, Read]:
    plan = experiment.plan()
    scores = Scores(experiment.store, plan, frame(experiment.store, plan), [])
    return scores, trainings(scores)


def test_terms_are_what_stands_before_the_norms(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    lines = [reading(20, instance=7.0), reading(40, instance=6.0, prototype=4.0)]
    lines += [signals(0, rank_share=0.2), signals(1, rank_share=0.3, clusters_used=1.0)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 60, "lo')

    found = read_log(path)

    assert found is not None
    assert found.terms == ["loss", "instance", "prototype"]
    assert found.steps["prototype"] == [40]
    assert found.values["loss"] == [7.0, 10.0]
    assert found.values["lr"] == [0.1, 0.1]
    assert found.epochs == {"rank_share": [1, 2], "clusters_used": [2]}


def test_a_real_log_is_read(tmp_path: Path) -> None:
    from sslbench.conformance.trial import built, planned, trained

    row = planned("hcsc")
    outcome = trained(row, built(row), tmp_path)
    found = read_log(tmp_path / "train.jsonl")

    assert found is not None
    assert set(found.terms) == {"loss", "instance", "prototype"}
    lines = [line for line in outcome.log.values() if "loss" in line]
    assert found.values["loss"] == [line["loss"] for line in lines]
    assert "gradient_norm" not in found.values
    assert found.signals["neighbours"]


def test_a_long_log_is_thinned_and_its_last_line_kept(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    lines = [reading(20 * n, nce=1.0 * n) for n in range(1, 1001)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    found = read_log(path)

    assert found is not None
    assert found.steps["loss"][-1] == 20_000
    assert len(found.steps["loss"]) == READINGS
    assert set(np.diff(found.steps["loss"])) == {100}


def test_no_log_or_an_empty_one_is_none_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    assert read_log(path) is None
    path.write_text("")
    assert read_log(path) is None
    for damage in (
        "{not json}\n",
        '["step"]\n',
        '{"loss": 1.0}\n',
        '{"step": 1, "epoch": 0, "health": 3}\n',
    ):
        path.write_text(damage)
        with pytest.raises(StoreError, match=r"train\.jsonl"):
            read_log(path)


def test_a_mean_is_over_all_seeds_and_between_their_readings() -> None:
    at, values = mean_line([([10, 20, 40], [1.0, 2.0, 4.0]), ([20, 30, 60], [4.0, 6.0, 12.0])])

    assert at == [20, 30, 40]  # where both have a value
    assert values == [3.0, 4.5, (4.0 + 8.0) / 2]
    assert mean_line([([1, 2], [1.0, 1.0]), ([5, 6], [2.0, 2.0])]) == ([], [])


def test_curves_show_the_mean_and_each_seed(experiment: Any) -> None:
    for seed in (0, 1, 2):
        trained(experiment, "moco", seed, HEALTHY)
    (picture,), left_out = training(*logs(experiment))
    losses, rates = picture.draw().axes

    assert not left_out
    lines = sorted((line for line in losses.lines), key=lambda line: line.get_linewidth())
    assert len(lines) == 4
    np.testing.assert_allclose(lines[-1].get_ydata(), 10 - np.arange(20, 201, 20) / 50)
    assert [t.get_text() for t in losses.texts] == ["healthy", "MOCO"]
    assert len(rates.lines) == 3
    assert "MOCO from 9.6 to 6" in picture.alternative


def test_a_run_that_diverged_is_marked_at_its_step(experiment: Any) -> None:
    gone = Health(verdict="diverged at step 90", step=90, why=("loss",))
    trained(experiment, "moco", 0, HEALTHY)
    trained(experiment, "moco", 1, gone, last=80)
    trained(experiment, "hcsc", 0, Health(verdict="cluster collapse"))
    (curves,), _ = training(*logs(experiment))
    (health,), _ = healths(logs(experiment)[1])
    panels = {axes.texts[1].get_text(): axes for axes in curves.draw().axes if axes.texts}

    marks = [line for line in panels["MOCO"].lines if line.get_color() == ORANGE]
    assert [list(line.get_xdata()) for line in marks] == [[90, 90]]
    verdict = panels["MOCO"].texts[0]
    assert verdict.get_text() == "1 healthy, 1 diverged at step 90"
    assert verdict.get_color() == ORANGE
    for picture in (curves, health):
        assert "MOCO (1 healthy, 1 diverged at step 90)" in picture.alternative
        assert "HCSC (cluster collapse)" in picture.alternative


def test_health_begins_with_the_untrained_encoder_and_shows_its_limits(experiment: Any) -> None:
    trained(experiment, "moco", 0, HEALTHY)
    (picture,), _ = healths(logs(experiment)[1])
    axes = picture.draw().axes[0]

    drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines]
    assert drawn[0][0] == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(drawn[0][1], [0.3, 0.3, 0.35, 0.4, 0.45])
    np.testing.assert_allclose(drawn[1][1], [0.18, 0.18])  # 0.6 of the untrained spread
    np.testing.assert_allclose(drawn[2][1], [0.06, 0.1, 0.2, 0.3, 0.4])


def test_what_has_no_log_is_said_and_a_damaged_log_costs_no_other(experiment: Any) -> None:
    trained(experiment, "moco", 0, HEALTHY)
    trained(experiment, "pcl", 0, HEALTHY)
    experiment.row("hcsc", {"knn": 40.0}, title="HCSC")
    log(experiment, experiment.rows[1].run, []).write_text("{\n")
    (picture,), left_out = training(*logs(experiment))

    assert "PCL" not in picture.alternative
    assert any(s.startswith("Training of PCL, seed 0: ") for s in left_out)
    assert any("without PCL, HCSC, of which no train.jsonl" in s for s in left_out)


def test_many_methods_share_pictures(experiment: Any) -> None:
    for number in range(26):
        ill = Health(verdict="dimensional collapse")
        trained(experiment, f"m{number}", 0, ill if number == 25 else HEALTHY)
    curves, said = training(*logs(experiment))
    health, _ = healths(logs(experiment)[1])

    assert [picture.name for picture in curves] == ["training", "training-2"]
    assert [picture.name for picture in health] == ["health", "health-2"]
    assert said == ["Training curves: 24 of 26 rows are shown; not M23, M24."]
    assert "M25 (dimensional collapse)" in curves[1].alternative
    for picture in (*curves, *health):
        figure = picture.draw()
        box, (wide, high) = figure.get_tightbbox(), figure.get_size_inches()
        assert min(box.x0, box.y0) >= 0, picture.name
        assert box.x1 <= wide, picture.name
        assert box.y1 <= high, picture.name
