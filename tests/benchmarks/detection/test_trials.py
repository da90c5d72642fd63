"""Several trials of one detector, and trainings that are interrupted and resumed."""

import numpy as np
import pyarrow.compute as pc
import pytest
import torch

from sslbench.errors import Interrupted

SHORT = {"steps": 8, "warmup_steps": 2}  # and 5 batches of test images


@pytest.fixture(scope="module")
def context(lent):
    return lent()


@pytest.fixture(scope="module")
def encoder(small_encoder):
    return small_encoder()


@pytest.fixture(scope="module")
def two(squares, measured, context, encoder):
    """Two trials, never interrupted, so short that they differ."""
    return measured(squares, context, encoder, trials=2, **SHORT)


def of_trial(table, trial):
    return table.filter(pc.equal(table["trial"], trial)).drop_columns(["trial"])


def rows_of(kind, table):
    return table.filter(pc.equal(table["kind"], kind))


@pytest.mark.parametrize(
    ("stop_at", "first"),
    [(5, 6), (8, 9), (10, 9)],  # a test begins anew
    ids=["training", "trained", "testing"],
)
def test_a_resumed_run_equals_one_that_was_never_stopped(
    squares, two, stop_at, first, measured, lent
):
    stopped = lent(stop_at=stop_at)
    with pytest.raises(Interrupted):
        measured(squares, stopped, **SHORT)
    resumed = lent(state=stopped.state)
    torch.manual_seed(99)  # the global generator is elsewhere in a new process
    # A single trial is the first of several.
    assert measured(squares, resumed, **SHORT).equals(of_trial(two, 0))
    assert resumed.done == [(done, 13) for done in range(first, 14)]


@pytest.mark.parametrize(
    ("stop_at", "first"),
    [(10, 9), (18, 19), (24, 22)],
    ids=["first test", "second training", "second test"],
)
def test_trials_are_resumed_where_they_stopped(
    squares, two, context, stop_at, first, measured, lent
):
    assert context.done == [(done, 26) for done in range(1, 27)]
    stopped = lent(stop_at=stop_at)
    with pytest.raises(Interrupted):
        measured(squares, stopped, trials=2, **SHORT)
    resumed = lent(state=stopped.state)
    torch.manual_seed(99)
    assert measured(squares, resumed, trials=2, **SHORT).equals(two)
    assert resumed.done == context.done[first - 1 :]


def test_trials_have_all_of_the_truth_and_seeds_of_their_own(two):
    first, second = of_trial(two, 0), of_trial(two, 1)
    assert rows_of("truth", first).equals(rows_of("truth", second))
    assert not rows_of("detection", first).equals(rows_of("detection", second))


def test_every_trial_starts_from_the_same_weights(two, encoder, small_encoder):
    before = small_encoder().state_dict()
    assert all(torch.equal(before[name], of) for name, of in encoder.state_dict().items())


def test_a_score_is_the_mean_over_trials_and_its_deviation_a_score_too(two, evaluation):
    trials = evaluation(trials=2)
    each = [trials.score(of_trial(two, trial)) for trial in range(2)]
    scores = trials.score(two)
    assert set(scores) == {metric.name for metric in trials.metrics}
    for name in each[0]:
        values = [found[name] for found in each]
        assert scores[name] == pytest.approx(np.mean(values), abs=1e-9)
        assert scores[f"{name}_sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-9)
    assert scores["ap_sd"] > 0


def test_what_was_measured_before_there_were_trials_keeps_its_identity(evaluation):
    hashed = evaluation(trials=1, full_summary=False).config.hashed()
    assert not {"trials", "full_summary"} & set(hashed)
    assert evaluation(trials=2).config.hashed()["trials"] == 2
