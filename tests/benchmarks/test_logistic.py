"""Logistic regression: the minimum itself, what it may see, and what it says of its own end."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax

from sslbench.api import DataError
from sslbench.benchmarks.logistic import Logistic, LogisticConfig
from sslbench.config import build, fingerprint
from sslbench.errors import ConfigError, Interrupted
from sslbench.nn.linear import Standardiser
from sslbench.nn.logistic import Part, directions, solve
from sslbench.registry import EVALUATIONS


def permuted(y, seed=5):
    return y[torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))]


def part(x, y):
    return Part(x.double().numpy(), y[:, 0].numpy())


def minimum(x, y, classes, c):
    """Of C times the summed cross-entropy plus half the squared weights, by another solver."""
    n, dim = x.shape

    def loss(flat):
        weight, bias = flat[:-classes].reshape(classes, dim), flat[-classes:]
        return (
            -c * log_softmax(x @ weight.T + bias, axis=1)[np.arange(n), y].sum()
            + 0.5 * (weight**2).sum()
        )

    found = minimize(loss, np.zeros(classes * (dim + 1)), method="BFGS", options={"gtol": 1e-4})
    weight, bias = found.x[:-classes].reshape(classes, dim), found.x[-classes:]
    return weight, bias - bias.mean()


@pytest.mark.parametrize("c", [0.01, 1.0])
def test_the_solution_is_the_minimum_of_the_penalised_losses(blobs, c):
    given = part(*blobs(120, 3, 2.0, 0))
    found = solve(given, c, LogisticConfig(tol=1e-9), None)
    weight, bias = minimum(given.x, given.y, 3, c)
    np.testing.assert_allclose(found.weight, weight, atol=1e-4)
    np.testing.assert_allclose(found.bias - found.bias.mean(), bias, atol=1e-3)
    assert found.converged


def test_directions_that_no_row_reaches_change_no_answer(blobs):
    x, y = blobs(200, 4, 2.0, 0)
    x[:, 0] *= 1e-3  # little, but no rounding
    wide = x @ torch.randn(16, 60, generator=torch.Generator().manual_seed(1))  # rank 16
    given, config = part(wide, y), LogisticConfig(tol=1e-9, max_iter=5000)
    basis = directions(given.x)
    assert basis.shape == (60, 16)
    np.testing.assert_allclose(basis.T @ basis, np.eye(16), atol=1e-10)
    whole = solve(given, 0.01, config, None)
    turned = solve(Part(given.x @ basis, given.y), 0.01, config, None)
    np.testing.assert_allclose(turned.weight @ basis.T, whole.weight, atol=1e-5)


def test_where_it_starts_does_not_matter(blobs):
    given = part(*blobs(300, 4, 2.0, 0))
    config = LogisticConfig(tol=1e-9)
    cold = solve(given, 1.0, config, None)
    warm = solve(given, 1.0, config, solve(given, 0.1, config, None))
    np.testing.assert_allclose(cold.weight, warm.weight, atol=1e-5)


def test_the_headline_is_of_the_chosen_c_solved_anew_on_all_training_images(given, measure, blobs):
    train, test = blobs(500, 6, 2.5, 0), blobs(400, 6, 2.5, 1)
    config = LogisticConfig(tol=1e-8)
    context = given(train, test)
    outcome = measure(Logistic(config), context, 6)
    index = torch.arange(500)
    fit, held = (index % 10 != 0), (index % 10 == 0)

    def accuracy(learn, judge, c):
        scaled = Standardiser.of(learn[0])
        model = solve(part(scaled(learn[0]), learn[1]), c, config, None)
        ranked = model.ranked(scaled(judge[0]).double().numpy(), 5)
        return 100 * (ranked[:, 0] == judge[1][:, 0].numpy()).mean()

    parts = [(train[0][which], train[1][which]) for which in (fit, held)]
    found = [accuracy(*parts, c) for c in config.grid]
    assert len(set(found)) > 2
    best = config.grid[found.index(max(found))]
    assert outcome.chosen["C"] == best
    assert outcome.chosen["held_out_top1"] == pytest.approx(max(found))
    assert Logistic.score(outcome.table)["top1"] == pytest.approx(accuracy(train, test, best))
    assert context.seen == [(done, 10) for done in range(1, 11)]


def test_shuffled_labels_are_at_chance(given, measure, blobs):
    x, y = blobs(1000, 4, 1.0, 0)
    context = given((x, permuted(y, 3)), blobs(1000, 4, 1.0, 1))
    outcome = measure(Logistic(LogisticConfig(values=3)), context, 4)
    assert Logistic.score(outcome.table)["top1"] == pytest.approx(25, abs=15)  # blobs are coarse


def test_test_labels_choose_nothing_unless_the_paper_lets_them(given, measure, blobs):
    train, (x, y) = blobs(300, 6, 2.5, 0), blobs(300, 6, 2.5, 1)
    found = {}
    for selection in ("held_out", "paper"):
        for name, labels in (("own", y), ("other", permuted(y))):
            evaluation = Logistic(LogisticConfig(selection=selection))
            found[selection, name] = measure(evaluation, given(train, (x, labels)), 6)
    one, other = found["held_out", "own"], found["held_out", "other"]
    assert one.chosen == other.chosen
    assert one.table["ranked"].equals(other.table["ranked"])
    one, other = found["paper", "own"], found["paper", "other"]
    assert one.chosen["C"] != other.chosen["C"]
    assert one.chosen["test_top1"] == pytest.approx(Logistic.score(one.table)["top1"])
    assert one.chosen["test_top1"] >= Logistic.score(found["held_out", "own"].table)["top1"]


def test_a_peek_is_another_fingerprint():
    paper = LogisticConfig(selection="paper")
    assert Logistic(paper).selection == "paper"
    assert fingerprint(paper) != fingerprint(LogisticConfig())


def test_of_one_c_nothing_is_chosen_and_nothing_is_held_out(given, measure, blobs):
    context = given(blobs(200, 4, 2.0, 0), blobs(100, 4, 2.0, 1))
    outcome = measure(Logistic(LogisticConfig(values=1, powers=(0.0, 1.0))), context, 4)
    assert (outcome.chosen["C"], outcome.chosen["chosen_on"]) == (1.0, "nothing")
    assert context.asked == ["train", "test"]


def test_an_end_before_the_minimum_is_recorded_and_no_warning(given, measure, blobs):
    data = blobs(300, 5, 2.0, 0), blobs(100, 5, 2.0, 1)
    ended = measure(Logistic(LogisticConfig(max_iter=2)), given(*data), 5).chosen
    assert (ended["converged"], ended["iterations"]) == (False, 2)
    assert ended["grid_not_converged"] == 9
    chosen = measure(Logistic(LogisticConfig()), given(*data), 5).chosen
    assert (chosen["converged"], chosen["grid_not_converged"]) == (True, 0)


@pytest.mark.parametrize("selection", ["held_out", "paper"])
@pytest.mark.parametrize("stop", [1, 5, 9])
def test_stopped_and_resumed_equals_never_stopped(given, measure, blobs, selection, stop):
    data = blobs(200, 4, 2.5, 0), blobs(100, 4, 2.5, 1)
    evaluation = Logistic(LogisticConfig(selection=selection))
    whole = measure(evaluation, given(*data), 4)
    context = given(*data)
    context.stop = stop
    with pytest.raises(Interrupted):
        measure(evaluation, context, 4)
    resumed = measure(evaluation, context, 4)
    assert resumed.table.equals(whole.table)
    assert resumed.chosen == whole.chosen
    assert [done for done, _ in context.seen] == list(range(1, 11))


def test_two_classes_and_classes_that_training_images_lack(given, measure, blobs):
    (x, y), test = blobs(300, 2, 1.0, 0), blobs(200, 2, 1.0, 1)
    outcome = measure(Logistic(LogisticConfig(values=3)), given((x, y), test), 2)
    assert Logistic.score(outcome.table)["top1"] > 90
    assert Logistic.score(outcome.table)["top5"] == 100
    apart = given((x, 7 * y), (test[0], 7 * test[1]))  # classes 0 and 7 of ten
    other = measure(Logistic(LogisticConfig(values=3)), apart, 10)
    assert Logistic.score(other.table) == Logistic.score(outcome.table)
    with pytest.raises(DataError, match="of one class"):
        measure(Logistic(LogisticConfig()), given((x, 0 * y), test), 2)


def test_dinov2_s_settings_are_its_own():
    known = EVALUATIONS.defaults("logistic")["variants"]["dinov2"]
    config = build(LogisticConfig, known["settings"], "dinov2")
    assert len(config.grid) == 45
    assert config.grid[0] == pytest.approx(1e-6)
    assert config.grid[-1] == pytest.approx(1e5)
    assert config.grid[1] / config.grid[0] == pytest.approx(10 ** (11 / 44))
    assert (config.max_iter, config.tol, config.standardise) == (1000, 1e-12, False)
    with pytest.raises(ConfigError, match="the smaller first"):
        build(LogisticConfig, {"powers": [2.0, 1.0]}, "x")


def test_data_with_boxes_or_several_labels_cannot_apply(spec):
    evaluation = Logistic(LogisticConfig())
    assert evaluation.unsupported(None, spec(5)) is None
    assert "multilabel" in evaluation.unsupported(None, spec(5, "multilabel"))
    assert "level 2" in Logistic(LogisticConfig(level=2)).unsupported(None, spec(5))
