"""The linear probe: its extremes, a second-order solver beside it, and what it may see."""

import pytest
import torch

from sslbench.benchmarks.linear_probe import LinearProbe, LinearProbeConfig
from sslbench.config import fingerprint
from sslbench.errors import Diverged, Interrupted
from sslbench.protocols import resolve_evaluation
from sslbench.suite import EvaluationEntry


def test_separable_features_are_told_apart(given, measure, blobs):
    context = given(blobs(300, 8, 0.1, 0), blobs(100, 8, 0.1, 1))
    outcome = measure(LinearProbe(LinearProbeConfig(epochs=10)), context, 8)
    assert LinearProbe.score(outcome.table)["top1"] == 100
    assert outcome.chosen["held_out_top1"] == 100


def test_shuffled_labels_are_at_chance(given, measure, blobs):
    x, y = blobs(1000, 10, 0.1, 0)
    shuffled = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(3))]
    context = given((x, shuffled), blobs(1000, 10, 0.1, 1))
    outcome = measure(LinearProbe(LinearProbeConfig(epochs=3)), context, 10)
    scores = LinearProbe.score(outcome.table)
    assert scores["top1"] < 32  # all images of a blob get one answer, so chance is coarse
    assert scores["top5"] < 85


def test_it_is_as_accurate_as_a_second_order_solver(given, measure, blobs):
    train, test = blobs(2000, 10, 1.6, 0), blobs(2000, 10, 1.6, 1)
    outcome = measure(LinearProbe(LinearProbeConfig()), given(train, test), 10)
    layer = torch.nn.Linear(16, 10)
    solver = torch.optim.LBFGS(layer.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss():
        solver.zero_grad()
        value = torch.nn.functional.cross_entropy(layer(train[0]), train[1][:, 0])
        value.backward()
        return value

    solver.step(loss)
    expected = 100 * (layer(test[0]).argmax(1) == test[1][:, 0]).float().mean().item()
    assert 60 < expected < 95
    assert LinearProbe.score(outcome.table)["top1"] == pytest.approx(expected, abs=1.0)


def test_test_labels_choose_nothing(given, measure, blobs):
    train, (x, y) = blobs(400, 6, 2.0, 0), blobs(300, 6, 2.0, 1)
    permuted = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(5))]
    probe = LinearProbe(LinearProbeConfig(epochs=4))
    one = measure(probe, given(train, (x, y)), 6)
    other = measure(probe, given(train, (x, permuted)), 6)
    assert one.chosen == other.chosen
    assert one.table["ranked"].equals(other.table["ranked"])
    assert one.table["label"] != other.table["label"]


def test_test_images_choose_nothing(given, measure, blobs):
    train, (x, y) = blobs(400, 6, 2.0, 0), blobs(300, 6, 2.0, 1)
    probe = LinearProbe(LinearProbeConfig(epochs=4))
    one, other = (measure(probe, given(train, (x * scale, y)), 6) for scale in (1, -7))
    assert one.chosen == other.chosen


def test_the_grid_never_trains_on_the_images_that_it_selects_on(given, measure, blobs):
    x, y = blobs(1000, 4, 0.5, 0)
    y[::10] = (y[::10] + 1) % 4  # the held-out tenth contradicts the rest
    outcome = measure(
        LinearProbe(LinearProbeConfig(epochs=5)), given((x, y), blobs(100, 4, 0.5, 1)), 4
    )
    assert outcome.chosen["held_out_top1"] < 5


def test_selection_on_test_is_the_paper_s_and_is_marked(given, measure, blobs):
    data = blobs(200, 6, 3.0, 0), blobs(300, 6, 3.0, 1)
    honest, paper = (
        LinearProbe(LinearProbeConfig(epochs=20, selection=s)) for s in ("held_out", "paper")
    )
    contexts = [given(*data) for _ in range(2)]
    one, other = measure(honest, contexts[0], 6), measure(paper, contexts[1], 6)
    assert (honest.selection, paper.selection) == ("held_out", "paper")
    assert contexts[1].asked == ["test", "train"]
    assert other.chosen["test_top1"] == pytest.approx(LinearProbe.score(other.table)["top1"])
    assert other.chosen["test_top1"] >= LinearProbe.score(one.table)["top1"]
    assert "held_out_top1" not in other.chosen
    assert (one.chosen["chosen_on"], other.chosen["chosen_on"]) == ("held_out", "test")
    assert one.chosen["epoch"] == 20


def test_the_paper_s_best_epoch_is_the_best_of_shorter_measurements_of_the_same_training(
    given, measure, blobs
):
    data = blobs(200, 6, 3.0, 0), blobs(300, 6, 3.0, 1)
    constant = {"schedule": "step", "milestones": (0.999,), "batch_size": 100}

    def best(epochs):  # until the last step, a longer training is the shorter one and more
        settings = {**constant, "lrs": (100.0, 300.0), "weight_decays": (0.0,), "epochs": epochs}
        probe = LinearProbe(LinearProbeConfig(selection="paper", **settings))
        return measure(probe, given(*data), 6).chosen

    tops = [best(epochs) for epochs in range(1, 9)]
    curve = [top["test_top1"] for top in tops]
    assert curve == sorted(curve)
    first = 1 + curve.index(curve[-1])
    assert [top["epoch"] for top in tops][-1] == first
    assert first < 8  # or the test would show nothing


def test_test_labels_do_choose_under_the_paper_s_selection(given, measure, blobs):
    train, (x, y) = blobs(400, 6, 2.0, 0), blobs(300, 6, 2.0, 1)
    permuted = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(5))]
    probe = LinearProbe(LinearProbeConfig(epochs=4, selection="paper"))
    one = measure(probe, given(train, (x, y)), 6)
    other = measure(probe, given(train, (x, permuted)), 6)
    assert one.chosen["lr"] != other.chosen["lr"] or one.chosen["epoch"] != other.chosen["epoch"]
    assert not one.table["ranked"].equals(other.table["ranked"])


def test_a_peek_is_another_fingerprint_and_another_version():
    honest, paper = LinearProbeConfig(), LinearProbeConfig(selection="paper")
    assert fingerprint(honest) != fingerprint(paper)
    assert (LinearProbe(honest).version, LinearProbe(paper).version) == (1, 2)


def test_what_was_measured_before_keeps_its_identity():
    entry = EvaluationEntry(protocol="linear_probe", dataset="objects")
    resolved = resolve_evaluation("linear", entry, {}, 32)
    assert resolved.id == "linear_probe-objects-f965fb550a15f1e3"
    assert sorted(LinearProbeConfig().hashed()) == [
        "batch_size", "epochs", "level", "lrs", "momentum", "selection", "weight_decays",
    ]  # fmt: skip


def test_of_one_setting_nothing_is_chosen_and_nothing_is_held_out(given, measure, blobs):
    context = given(blobs(300, 5, 1.0, 0), blobs(100, 5, 1.0, 1))
    config = LinearProbeConfig(lrs=(3.0,), weight_decays=(0.0,), epochs=3)
    chosen = measure(LinearProbe(config), context, 5).chosen
    assert context.asked == ["test", "train"]
    assert context.seen[-1] == (6, 6)
    assert (chosen["chosen_on"], chosen["epoch"]) == ("nothing", 3)
    assert not [key for key in chosen if "top1" in key]


@pytest.mark.parametrize("selection", ["held_out", "paper"])
@pytest.mark.parametrize("stop", [3, 8, 13])
def test_stopped_and_resumed_equals_never_stopped(given, measure, blobs, selection, stop):
    data = blobs(400, 6, 3.0, 0), blobs(200, 6, 3.0, 1)
    probe = LinearProbe(LinearProbeConfig(epochs=8, batch_size=200, selection=selection))
    whole = measure(probe, given(*data), 6)
    context = given(*data)
    context.stop = stop
    with pytest.raises(Interrupted):
        measure(probe, context, 6)
    resumed = measure(probe, context, 6)
    assert resumed.table.equals(whole.table)
    assert resumed.chosen == whole.chosen
    assert len({done for done, _ in context.seen}) == len(context.seen)  # no step was done twice


def test_with_few_classes_there_are_as_many_ranks(given, measure, blobs):
    context = given(blobs(100, 3, 2.0, 0), blobs(50, 3, 2.0, 1))
    table = measure(LinearProbe(LinearProbeConfig(epochs=2)), context, 3).table
    assert table["ranked"].type.list_size == 3
    assert LinearProbe.score(table)["top5"] == 100


def test_scale_and_shift_of_the_features_change_nothing(given, measure, blobs):
    (x, y), test = blobs(300, 5, 1.5, 0), blobs(200, 5, 1.5, 1)
    probe = LinearProbe(LinearProbeConfig(epochs=4))
    one = measure(probe, given((x, y), test), 5)
    other = measure(probe, given((1024 * x + 4096, y), (1024 * test[0] + 4096, test[1])), 5)
    assert LinearProbe.score(one.table)["top1"] == pytest.approx(
        LinearProbe.score(other.table)["top1"], abs=0.6
    )


def test_a_collapsed_encoder_stays_at_chance(given, measure):
    labels = torch.arange(200)[:, None] % 4
    context = given((torch.full((200, 8), 0.3), labels), (torch.full((200, 8), 0.3), labels))
    outcome = measure(LinearProbe(LinearProbeConfig(epochs=2)), context, 4)
    assert LinearProbe.score(outcome.table)["top1"] == 25


@pytest.mark.parametrize(
    ("lrs", "selection", "message"),
    [
        ((1e37, 1e38), "held_out", "take smaller ones"),
        ((1e38,), "held_out", "take a smaller rate"),
        ((1e38,), "paper", "take smaller ones"),
    ],
)
def test_rates_that_all_diverge_are_an_error(given, measure, blobs, lrs, selection, message):
    config = LinearProbeConfig(lrs=lrs, weight_decays=(1e3,), epochs=3, selection=selection)
    context = given(blobs(600, 5, 2.0, 0), blobs(20, 5, 2.0, 1))
    with pytest.raises(Diverged, match=message):
        measure(LinearProbe(config), context, 5)


def test_a_head_that_diverges_later_counts_until_then(given, measure, blobs):
    train, test = blobs(250, 5, 2.0, 0), blobs(200, 5, 2.0, 1)
    config = LinearProbeConfig(
        lrs=(1e15,),
        weight_decays=(1.0,),
        epochs=4,
        selection="paper",
        schedule="step",
        milestones=(0.9,),
    )
    outcome = measure(LinearProbe(config), given(train, test), 5)
    assert outcome.chosen["epoch"] < 4
    assert outcome.chosen["test_top1"] == LinearProbe.score(outcome.table)["top1"] > 40


def test_progress_counts_both_trainings(given, measure, blobs):
    context = given(blobs(60, 3, 1.0, 0), blobs(20, 3, 1.0, 1))
    measure(LinearProbe(LinearProbeConfig(epochs=3, batch_size=30)), context, 3)
    assert context.seen == [(done, 12) for done in range(1, 13)]


def test_data_with_boxes_or_several_labels_cannot_apply(spec):
    evaluation = LinearProbe(LinearProbeConfig())
    assert evaluation.unsupported(None, spec(5)) is None
    assert "multilabel" in evaluation.unsupported(None, spec(5, "multilabel"))
    assert "detection" in evaluation.unsupported(None, spec(5, "detection"))
    assert "level 2" in LinearProbe(LinearProbeConfig(level=2)).unsupported(None, spec(5))
