"""SVMs by class: the minimum itself, what each is trained on, and VOC's score of them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.model_selection import cross_val_score
from sklearn.svm import LinearSVC

from sslbench.api import DataError, Subject
from sslbench.benchmarks.svm import SVM, SVMConfig
from sslbench.config import build
from sslbench.data.shots import drawn_shots
from sslbench.errors import ConfigError, Interrupted
from sslbench.metrics.multilabel import class_average_precision
from sslbench.nn.linear_svm import Examples, Solver, over_length
from sslbench.protocols import resolve_evaluation
from sslbench.suite import EvaluationEntry

NAMES = ["dog", "cat", "owl", "elk", "fox", "bat", "hen", "yak"]
CLASSES, DIM = len(NAMES), 12
GRID = SVMConfig(cs=(0.01, 1.0, 10.0))
FEW = SVMConfig(shots=(1, 4), draws=3)


def images(n, noise, seed, difficult=0.1):
    """Features that are sums of the directions of the classes shown, and labels (N x C)."""
    directions = torch.randn(CLASSES, DIM, generator=torch.Generator().manual_seed(99))
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(n, CLASSES, generator=generator) < 0.25).long()
    x = labels.float() @ directions + noise * torch.randn(n, DIM, generator=generator)
    hidden = torch.rand(n, CLASSES, generator=generator) < difficult
    return x, labels.masked_fill(hidden, -1)


@pytest.fixture
def run(given, spec):
    """An evaluation's outcome on given features, and its context."""

    def measure(config, train, test, context=None):
        context = context or given(train, test)
        context.logged = {}
        context.log = context.logged.__setitem__
        dataset = SimpleNamespace(
            spec=spec(CLASSES, "multilabel"), class_names=lambda level=0: NAMES
        )
        return SVM(config).run(Subject(None, {}), dataset, context), context

    return measure


def scores_of(table, column="scores"):
    return np.array(table[column].to_pylist())


def solver(**changes):
    return Solver(**{"positive_weight": 2.0, "max_iter": 2000, "tol": 1e-4, "seed": 0, **changes})


def examples(n=150, seed=0, cls=0):
    x, labels = images(n, 1.0, seed)
    return Examples.of(over_length(x).numpy(), labels[:, cls].numpy())


@pytest.mark.parametrize("c", [0.5, 20.0])
def test_the_solution_is_the_minimum_of_the_penalised_losses(c):
    given = examples()
    found, converged = solver(max_iter=200_000, tol=1e-10).solve(given, c)
    sign = np.where(given.shown, 1.0, -1.0)
    weight = np.where(given.shown, 2.0, 1.0)
    x = np.hstack([given.x, np.ones((len(given.x), 1))])  # LIBLINEAR's penalty is on the bias too

    def loss(w):
        slack = np.maximum(0, 1 - sign * (x @ w))
        value = 0.5 * w @ w + c * (weight * slack**2).sum()
        return value, w - 2 * c * x.T @ (weight * sign * slack)

    wanted = minimize(loss, np.zeros(DIM + 1), jac=True, method="L-BFGS-B", options={"ftol": 1e-15})
    np.testing.assert_allclose(found, wanted.x, atol=1e-4)
    assert converged


def test_separable_images_are_ranked_perfectly_and_noise_near_the_share_of_its_class(run):
    train = images(400, 0.01, 0)
    test = images(300, 0.01, 1)
    outcome, context = run(SVMConfig(), train, test)
    assert SVM.score(outcome.table)["map"] > 99
    assert outcome.chosen == {"C": 0.5, "chosen_on": "nothing", "not_converged": 0}
    assert context.seen == [(done, CLASSES) for done in range(1, CLASSES + 1)]
    assert context.logged == {}
    nothing = torch.randn(400, DIM, generator=torch.Generator().manual_seed(5)), train[1]
    noisy, _ = run(SVMConfig(), nothing, test)
    share = 100 * float((test[1] == 1).sum() / (test[1] >= 0).sum())
    assert abs(SVM.score(noisy.table)["map"] - share) < 10


def test_the_defaults_are_pcls_svm_and_vocs_score(run):
    train, test = images(300, 1.5, 0, difficult=0.0), images(200, 1.5, 1, difficult=0.0)
    table = run(SVMConfig(), train, test)[0].table
    parts = [part.double().numpy() for part in (train[0], test[0])]
    x, on = [part / (np.linalg.norm(part, axis=1)[:, None] + 1e-5) for part in parts]
    wanted = []
    for cls in range(CLASSES):
        model = LinearSVC(
            C=0.5, class_weight={1: 2, -1: 1}, loss="squared_hinge", dual=True, max_iter=2000
        )
        model.fit(x, 2 * train[1][:, cls].numpy() - 1)
        ranks, labels = model.decision_function(on), test[1][:, cls].numpy()
        np.testing.assert_allclose(scores_of(table)[:, cls], ranks, atol=1e-3)
        hits = labels[np.argsort(-ranks)]
        precision = hits.cumsum() / np.arange(1, len(hits) + 1)
        best = [precision[place:].max() for place in np.flatnonzero(hits)]
        wanted.append(100 * np.mean(best))
    assert SVM.score(table)["map"] == pytest.approx(np.mean(wanted), abs=0.1)
    assert set(SVM.score(table)) == {metric.name for metric in SVM(SVMConfig()).metrics}


def test_difficult_images_are_neither_trained_on_nor_tested(run):
    (x, y), (on, labels) = images(200, 1.0, 0), images(150, 1.0, 1)
    whole = run(SVMConfig(), (x, y), (on, labels))[0].table
    (row,) = torch.nonzero((y[:, 1] == -1) & (y[:, 2] >= 0))[:1, 0].tolist()
    moved = x.clone()
    moved[row] = -moved[row]
    other = run(SVMConfig(), (moved, y), (on, labels))[0].table
    assert (scores_of(other)[:, 1] == scores_of(whole)[:, 1]).all()
    assert (scores_of(other)[:, 2] != scores_of(whole)[:, 2]).any()
    wanted = class_average_precision(labels.numpy(), scores_of(whole)).mean()
    assert SVM.score(whole)["map"] == pytest.approx(wanted)


def test_each_class_has_the_c_that_is_best_on_unseen_training_images(run):
    train, test = images(200, 1.5, 0, difficult=0.0), images(100, 1.5, 1)
    outcome, context = run(GRID, train, test)
    x = over_length(train[0]).numpy()
    wanted = []
    for cls in range(CLASSES):
        found = []
        for c in GRID.cs:
            model = LinearSVC(C=c, class_weight={1: 2, 0: 1}, max_iter=2000, random_state=5)
            folds = cross_val_score(
                model, x, train[1][:, cls].numpy(), cv=3, scoring="average_precision"
            )
            found.append(folds.mean())
        wanted.append(GRID.cs[int(np.argmax(found))])
    assert outcome.chosen["C"] == wanted
    assert len(set(wanted)) > 1
    assert outcome.chosen["chosen_on"] == "3 folds of train"
    assert context.seen[-1] == (4 * CLASSES, 4 * CLASSES)
    alone = run(SVMConfig(cs=(wanted[2],)), train, test)[0].table
    assert (scores_of(alone)[:, 2] == scores_of(outcome.table)[:, 2]).all()


def test_of_equally_good_cs_the_smallest_is_taken(run):
    labels = images(90, 0.0, 0, difficult=0.0)[1]
    told = labels.float() + 0.5, labels  # every C ranks these perfectly
    outcome, _ = run(SVMConfig(cs=(20.0, 5.0, 10.0)), told, told)
    assert outcome.chosen["C"] == [5.0] * CLASSES


def test_selection_is_said_where_something_is_selected():
    assert SVM(SVMConfig()).selection == "none"
    assert SVM(GRID).selection == "held_out"


@pytest.mark.parametrize("config", [SVMConfig(), GRID, FEW], ids=["one C", "several", "few"])
def test_an_interrupted_run_goes_on_as_if_never_stopped(run, given, config):
    data = images(120, 1.5, 0), images(60, 1.5, 1)
    whole, uncut = run(config, *data)
    for stop in (2, len(uncut.seen) - 1):
        context = given(*data)
        context.stop = stop
        with pytest.raises(Interrupted):
            run(config, *data, context)
        resumed, _ = run(config, *data, context)
        assert resumed.table.equals(whole.table)
        assert resumed.chosen == whole.chosen
        assert context.logged == uncut.logged
        assert context.seen == uncut.seen


def test_few_images_are_those_that_show_each_class_put_together(run):
    (x, y), (on, labels) = images(200, 1.0, 0), images(100, 1.0, 1)
    table = run(FEW, (x, y), (on, labels))[0].table
    members = [np.flatnonzero(column == 1) for column in y.numpy().T]
    drawn = drawn_shots(0, 2, members, 4)
    for shots in (1, 4):
        rows = np.concatenate([positions[:shots] for positions in drawn])
        part = over_length(x[rows]).numpy()
        for cls in range(CLASSES):
            given = Examples.of(part, y[rows, cls].numpy())
            weight, _ = solver().solve(given, 0.5)
            ranks = over_length(on).numpy() @ weight[:-1] + weight[-1]
            found = scores_of(table, f"k{shots}_draw2")[:, cls]
            np.testing.assert_allclose(found, ranks, atol=1e-3)


def test_images_that_are_not_drawn_change_nothing(run):
    (x, y), test = images(200, 1.0, 0), images(60, 1.0, 1)
    whole, _ = run(FEW, (x, y), test)
    members = [np.flatnonzero(column == 1) for column in y.numpy().T]
    unseen = torch.ones(200, dtype=torch.bool)
    for draw in range(3):
        unseen[np.concatenate(drawn_shots(0, draw, members, 4))] = False
    other = x.clone()
    other[unseen] = torch.nan
    assert unseen.sum() > 100
    assert run(FEW, (other, y), test)[0].table.equals(whole.table)


def test_a_low_shot_score_is_the_mean_over_draws(run):
    outcome, context = run(FEW, images(200, 1.0, 0), images(100, 1.0, 1))
    labels = scores_of(outcome.table, "label")
    scores = SVM.score(outcome.table)
    assert list(scores) == ["map_k1", "map_k4"]
    for shots in (1, 4):
        each = [
            class_average_precision(labels, scores_of(outcome.table, f"k{shots}_draw{draw}")).mean()
            for draw in range(3)
        ]
        assert scores[f"map_k{shots}"] == pytest.approx(np.mean(each))
        assert context.logged[f"map_k{shots}_deviation"] == pytest.approx(np.std(each, ddof=1))
    assert scores["map_k4"] > scores["map_k1"]
    assert [metric.name for metric in SVM(FEW).metrics] == ["map_k4", "map_k1"]


@pytest.mark.parametrize("config", [SVMConfig(), FEW], ids=["all", "few"])
def test_resamples_are_scored_as_their_tables_would_be(run, config):
    table = run(config, images(150, 1.0, 0), images(80, 1.0, 1))[0].table
    of = SVM.resampler(table)
    assert of(np.ones(80, dtype=np.int64)) == pytest.approx(SVM.score(table))
    times = np.random.default_rng(0).integers(0, 3, 80)
    drawn = table.take(np.repeat(np.arange(80), times))
    assert of(times) == pytest.approx(SVM.score(drawn))


def test_a_collapsed_encoder_is_scored_at_the_share_of_each_class(run):
    train, test = images(150, 1.0, 0), images(80, 1.0, 1)
    flat = (torch.zeros(150, DIM), train[1]), (torch.zeros(80, DIM), test[1])
    labels = test[1].numpy()
    share = ((labels == 1).sum(axis=0) / (labels >= 0).sum(axis=0)).mean()
    assert SVM.score(run(SVMConfig(), *flat)[0].table)["map"] == pytest.approx(100 * share)


def test_features_are_left_as_they_were_and_blocks_change_nothing(run, monkeypatch):
    train, test = images(150, 1.0, 0), images(80, 1.0, 1)
    copies = [part.clone() for part in (*train, *test)]
    whole, _ = run(SVMConfig(), train, test)
    assert all(torch.equal(x, copy) for x, copy in zip((*train, *test), copies, strict=True))
    monkeypatch.setattr("sslbench.benchmarks.svm.BLOCK", 7)
    blocked = scores_of(run(SVMConfig(), train, test)[0].table)
    np.testing.assert_allclose(blocked, scores_of(whole.table), atol=1e-6)


def test_a_solver_that_was_cut_short_is_counted(run):
    outcome, _ = run(SVMConfig(cs=(1000.0,), max_iter=1), images(150, 2.0, 0), images(80, 2.0, 1))
    assert outcome.chosen["not_converged"] == CLASSES


def test_a_class_without_images_is_named(run):
    train, test = images(150, 1.0, 0), images(80, 1.0, 1)
    for which, split in enumerate(("train", "test")):
        data = [[x, y.clone()] for x, y in (train, test)]
        data[which][1][:, 2].clamp_(max=0)
        with pytest.raises(DataError, match=f"no image of toy, {split}, shows 'owl' other than"):
            run(SVMConfig(), *data)


def test_a_class_with_nothing_to_tell_it_from_is_named(run):
    (x, y), test = images(150, 1.0, 0), images(80, 1.0, 1)
    y[:, 3] = 1
    with pytest.raises(DataError, match="all of the 150 training images show 'elk'"):
        run(SVMConfig(), (x, y), test)
    with pytest.raises(DataError, match=r"show 'elk'.*\(k1_draw0\). Set more shots"):
        run(FEW, (x, y), test)


def test_too_few_images_of_a_class_are_named(run):
    (x, y), test = images(150, 1.0, 0), images(80, 1.0, 1)
    y[:, 1] = torch.where(torch.cumsum(y[:, 1] == 1, dim=0) > 2, 0, y[:, 1])
    with pytest.raises(DataError, match="toy: 2 training images of 'cat', fewer than 4 shots"):
        run(FEW, (x, y), test)
    with pytest.raises(DataError, match=r"'cat': 2 training images show it .* fewer than 3 folds"):
        run(GRID, (x, y), test)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cs": []}, "cs"),
        ({"cs": [0.0]}, "cs"),
        ({"cs": [1.0, 1.0]}, "names one twice"),
        ({"folds": 1}, "folds"),
        ({"draws": 2}, "need shots"),
        ({"shots": [4], "cs": [1.0, 2.0]}, "set one C"),
        ({"shots": [0]}, "shots"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        build(SVMConfig, settings, "svm")


@pytest.mark.parametrize(
    ("name", "cs", "shots", "draws"),
    [
        ("voc07", (0.5,), (), 1),
        ("voc07-low-shot", (0.5,), (1, 2, 4, 8, 16), 5),
        ("vissl", (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0), (), 1),
    ],
)
def test_named_settings_are_those_of_the_released_codes(name, cs, shots, draws):
    entry = EvaluationEntry(protocol=f"svm@{name}", dataset="voc2007")
    config = build(SVMConfig, resolve_evaluation("svm", entry, {}, 224).settings, "svm")
    assert (config.cs, config.shots, config.draws) == (cs, shots, draws)
    assert (config.positive_weight, config.max_iter, config.tol) == (2.0, 2000, 1e-4)


def test_data_with_one_class_per_image_or_boxes_cannot_apply(spec):
    evaluation = SVM(SVMConfig())
    assert evaluation.unsupported(None, spec(5, "multilabel")) is None
    assert "toy is a classification data set" in evaluation.unsupported(None, spec(5))
    assert "toy is a detection data set" in evaluation.unsupported(None, spec(5, "detection"))
