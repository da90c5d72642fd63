"""Few-shot classification: what is drawn, what is learnt from it, and what its scores speak of."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from sslbench.api import DataError, Subject
from sslbench.benchmarks.few_shot import FewShot, FewShotConfig
from sslbench.config import build
from sslbench.data.shots import by_class, drawn_shots
from sslbench.errors import ConfigError, Interrupted
from sslbench.protocols import resolve_evaluation
from sslbench.suite import EvaluationEntry

SMALL = FewShotConfig(shots=(1, 5), headline=5, draws=4)


@pytest.fixture
def run(given, spec):
    """An evaluation's outcome on given features, and its context."""

    def measure(config, train, test, classes, context=None):
        context = context or given(train, test)
        context.logged = {}
        context.log = context.logged.__setitem__
        names = [f"class {number}" for number in range(classes)]
        dataset = SimpleNamespace(spec=spec(classes), class_names=lambda level=0: names)
        return FewShot(config).run(Subject(None, {}), dataset, context), context

    return measure


def rows_drawn(labels, draw, shots, classes):
    return np.concatenate(drawn_shots(0, draw, by_class(labels[:, 0].numpy(), classes), shots))


def test_separable_features_are_told_apart_by_one_image_each(run, blobs):
    outcome, context = run(SMALL, blobs(300, 8, 0.1, 0), blobs(100, 8, 0.1, 1), 8)
    assert FewShot.score(outcome.table)["top1_k1"] == 100
    assert outcome.chosen == {"chosen_on": "nothing", "not_converged": 0}
    assert context.seen == [(done, 8) for done in range(1, 9)]
    assert context.asked == ["train", "test"]


def test_shuffled_labels_are_at_chance(run, blobs):
    x, y = blobs(2000, 10, 0.1, 0)
    shuffled = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(3))]
    outcome, _ = run(SMALL, (x, shuffled), blobs(1000, 10, 0.1, 1), 10)
    scores = FewShot.score(outcome.table)
    assert 4 < scores["top1"] < 17
    assert 38 < scores["top5"] < 63


@pytest.mark.parametrize("standardise", [True, False])
def test_predictions_are_those_of_a_model_of_the_drawn_images_alone(run, blobs, standardise):
    train, test = blobs(400, 6, 2.0, 0), blobs(150, 6, 2.0, 1)
    config = FewShotConfig(
        shots=(1, 5), headline=5, draws=3, c=2.0, tol=1e-8, standardise=standardise
    )
    table = run(config, train, test, 6)[0].table
    for draw in range(3):
        for shots in (1, 5):
            rows = rows_drawn(train[1], draw, shots, 6)
            x, on = train[0][rows].double().numpy(), test[0].double().numpy()
            if standardise:
                mean, variance = x.mean(axis=0), x.var(axis=0)
                floored = variance + 1e-3 * variance.mean()
                scale = 1 / np.sqrt(floored * (variance / floored).sum())
                x, on = (x - mean) * scale, (on - mean) * scale
            model = LogisticRegression(C=2.0, tol=1e-8, max_iter=1000)
            scores = model.fit(x, train[1][rows, 0]).decision_function(on)
            found = np.array(table[f"k{shots}_draw{draw}"].to_pylist())[:, 0]
            assert (found == scores.argmax(axis=1)).mean() > 0.99
        ranked = np.array(table[f"ranked_draw{draw}"].to_pylist())
        assert (ranked == np.argsort(-scores, axis=1)[:, :5]).mean() > 0.99


def test_images_that_are_not_drawn_change_nothing(run, blobs):
    (x, y), test = blobs(300, 5, 2.0, 0), blobs(100, 5, 2.0, 1)
    whole, _ = run(SMALL, (x, y), test, 5)
    unseen = torch.ones(len(x), dtype=torch.bool)
    unseen[np.concatenate([rows_drawn(y, draw, 5, 5) for draw in range(4)])] = False
    assert unseen.sum() > 200
    other = x.clone()
    other[unseen] = torch.nan
    assert run(SMALL, (other, y), test, 5)[0].table.equals(whole.table)


def test_the_seed_alone_decides_which_images_are_drawn(run, given, blobs):
    train, test = blobs(300, 5, 2.0, 0), blobs(100, 5, 2.0, 1)
    tables = []
    for seed in (0, 0, 1):
        context = given(train, test)
        context.seed = seed
        tables.append(run(SMALL, train, test, 5, context)[0].table)
    assert tables[0].equals(tables[1])
    assert not tables[0].equals(tables[2])


def test_a_score_is_the_mean_over_draws_each_of_which_is_kept(run, blobs):
    outcome, context = run(SMALL, blobs(300, 8, 2.5, 0), blobs(200, 8, 2.5, 1), 8)
    table, labels = outcome.table, np.array(outcome.table["label"].to_pylist())
    scores = FewShot.score(table)
    for shots in (1, 5):
        each = [
            100 * (np.array(table[f"k{shots}_draw{draw}"].to_pylist())[:, 0] == labels).mean()
            for draw in range(4)
        ]
        assert len(set(each)) > 1
        assert scores[f"top1_k{shots}"] == pytest.approx(np.mean(each))
        assert context.logged[f"top1_k{shots}_deviation"] == pytest.approx(np.std(each, ddof=1))
    assert scores["top1"] == scores["top1_k5"] > scores["top1_k1"]
    assert context.logged["top1_deviation"] == context.logged["top1_k5_deviation"]


def test_an_items_value_is_the_share_of_draws_that_are_right(run, blobs):
    table = run(SMALL, blobs(300, 8, 2.5, 0), blobs(200, 8, 2.5, 1), 8)[0].table
    values = FewShot.item_values(table)
    assert list(values) == [metric.name for metric in FewShot(SMALL).metrics]
    assert list(values) == ["top1", "top5", "top1_k1", "top1_k5"]
    assert set(values["top1_k1"].tolist()) == {0, 25, 50, 75, 100}
    row = {name: table[name][7].as_py() for name in table.column_names}
    right = [row[f"k1_draw{draw}"] == [row["label"]] for draw in range(4)]
    assert values["top1_k1"][7] == 25 * sum(right)
    among = [row["label"] in row[f"ranked_draw{draw}"] for draw in range(4)]
    assert values["top5"][7] == 25 * sum(among)


def test_numbers_of_shots_are_scored_in_their_order(run, blobs):
    config = FewShotConfig(shots=(10, 2, 1), headline=2, draws=1)
    outcome, context = run(config, blobs(300, 4, 1.0, 0), blobs(50, 4, 1.0, 1), 4)
    wanted = ["top1", "top5", "top1_k1", "top1_k2", "top1_k10"]
    assert list(FewShot.item_values(outcome.table)) == wanted
    assert [metric.name for metric in FewShot(config).metrics] == wanted
    assert context.logged == {}  # one draw has no deviation


@pytest.mark.parametrize("stop", range(1, 8))
def test_an_interrupted_run_goes_on_as_if_never_stopped(run, given, blobs, stop):
    data = blobs(200, 4, 2.5, 0), blobs(60, 4, 2.5, 1)
    whole, uncut = run(SMALL, *data, 4)
    context = given(*data)
    context.stop = stop
    with pytest.raises(Interrupted):
        run(SMALL, *data, 4, context)
    resumed, _ = run(SMALL, *data, 4, context)
    assert resumed.table.equals(whole.table)
    assert resumed.chosen == whole.chosen
    assert context.logged == uncut.logged
    assert [done for done, _ in context.seen] == list(range(1, 9))


def test_two_classes_and_a_coarser_level(run, blobs):
    (x, y), (on, labels) = blobs(300, 2, 1.0, 0), blobs(200, 2, 1.0, 1)
    scores = FewShot.score(run(SMALL, (x, y), (on, labels), 2)[0].table)
    assert scores["top1"] > 90
    assert scores["top5"] == 100


def test_as_many_classes_as_images_are_nothing_to_warn_of(run, blobs):
    outcome, _ = run(SMALL, blobs(900, 30, 0.1, 0), blobs(60, 30, 0.1, 1), 30)
    assert FewShot.score(outcome.table)["top1_k1"] > 95


def test_a_solver_that_was_cut_short_is_counted(run, blobs):
    config = FewShotConfig(shots=(1, 5), headline=5, draws=2, max_iter=1, tol=1e-9)
    outcome, _ = run(config, blobs(300, 6, 2.0, 0), blobs(50, 6, 2.0, 1), 6)
    assert outcome.chosen["not_converged"] == 4


def test_features_are_left_as_they_were_and_blocks_change_nothing(run, blobs, monkeypatch):
    train, test = blobs(200, 4, 2.0, 0), blobs(50, 4, 2.0, 1)
    copies = [x.clone() for x in (*train, *test)]
    whole, _ = run(SMALL, train, test, 4)
    assert all(torch.equal(x, copy) for x, copy in zip((*train, *test), copies, strict=True))
    monkeypatch.setattr("sslbench.benchmarks.few_shot.BLOCK", 7)
    assert run(SMALL, train, test, 4)[0].table.equals(whole.table)


def test_a_class_with_too_few_images_is_named(run, blobs):
    x, y = blobs(200, 4, 2.0, 0)
    keep = (y[:, 0] != 2) | (torch.cumsum(y[:, 0] == 2, dim=0) <= 3)
    with pytest.raises(DataError, match="toy: 3 training images of 'class 2', fewer than 5 shots"):
        run(SMALL, (x[keep], y[keep]), blobs(50, 4, 2.0, 1), 4)


@pytest.mark.parametrize(
    "settings",
    [
        {"headline": 7},
        {"shots": [5, 5]},
        {"shots": [0, 5]},
        {"shots": []},
        {"draws": 0},
        {"c": 0.0},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ConfigError):
        build(FewShotConfig, settings, "few_shot")


def test_mtebs_settings_are_its_own():
    entry = EvaluationEntry(protocol="few_shot@mteb", dataset="objects")
    config = build(
        FewShotConfig, resolve_evaluation("few_shot", entry, {}, 32).settings, "few_shot"
    )
    assert (config.shots, config.draws, config.headline) == ((16,), 5, 16)
    assert (config.c, config.max_iter, config.tol, config.standardise) == (1.0, 100, 1e-4, False)


def test_data_with_boxes_or_several_labels_cannot_apply(spec):
    evaluation = FewShot(FewShotConfig())
    assert evaluation.unsupported(None, spec(5)) is None
    assert "multilabel" in evaluation.unsupported(None, spec(5, "multilabel"))
    assert "detection" in evaluation.unsupported(None, spec(5, "detection"))
    assert "1 label levels" in FewShot(FewShotConfig(level=1)).unsupported(None, spec(5))
