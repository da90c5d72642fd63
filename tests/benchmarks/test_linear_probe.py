"""The linear probe: its extremes, a second-order solver beside it, and what it may see."""

import pytest
import torch

from sslbench.benchmarks.linear_probe import LinearProbe, LinearProbeConfig
from sslbench.errors import Diverged


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
    assert contexts[1].asked == ["train", "test"]
    assert other.chosen["test_top1"] == pytest.approx(LinearProbe.score(other.table)["top1"])
    assert other.chosen["test_top1"] >= LinearProbe.score(one.table)["top1"]
    assert "held_out_top1" not in other.chosen


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


def test_rates_that_all_diverge_are_an_error(given, measure, blobs):
    probe = LinearProbe(LinearProbeConfig(lrs=(1e38,), weight_decays=(1e3,), epochs=3))
    context = given(blobs(300, 5, 2.0, 0), blobs(20, 5, 2.0, 1))
    with pytest.raises(Diverged, match="take smaller ones"):
        measure(probe, context, 5)


def test_progress_counts_both_trainings(given, measure, blobs):
    context = given(blobs(60, 3, 1.0, 0), blobs(20, 3, 1.0, 1))
    measure(LinearProbe(LinearProbeConfig(epochs=3)), context, 3)
    assert context.seen == [(done, 6) for done in range(1, 7)]


def test_data_with_boxes_or_several_labels_cannot_apply(spec):
    evaluation = LinearProbe(LinearProbeConfig())
    assert evaluation.unsupported(None, spec(5)) is None
    assert "multilabel" in evaluation.unsupported(None, spec(5, "multilabel"))
    assert "detection" in evaluation.unsupported(None, spec(5, "detection"))
    assert "level 2" in LinearProbe(LinearProbeConfig(level=2)).unsupported(None, spec(5))
