"""Many linear classifiers in one pass against torch's own layer, loss and optimiser, one by one."""

import math

import pytest
import torch

from sslbench.errors import Diverged
from sslbench.nn.linear import (
    HeadsInTraining,
    LinearHeads,
    Rows,
    Setting,
    Standardiser,
    best_setting,
)
from sslbench.nn.linear_training import CachedBatches, LinearTraining
from sslbench.nn.schedule import Schedule

CPU = torch.device("cpu")
SETTINGS = [Setting(lr, decay) for lr in (0.01, 1.0) for decay in (0.0, 0.1)]


def toy(n=90, dim=6, classes=4):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, dim, generator=generator), torch.randint(
        classes, (n,), generator=generator
    )


def rows(x):
    return Rows(x, CPU)


def training(x, y, settings, seed=0, weight=None, nesterov=False, **schedule):
    """Three epochs of three steps."""
    stream = CachedBatches([rows(x)], y, 32, seed)
    start = torch.zeros(6, 4) if weight is None else weight
    heads = HeadsInTraining(start, settings, momentum=0.9, nesterov=nesterov)
    return LinearTraining([heads], stream, Schedule(9, **schedule), stream.epoch_steps)


def fit(x, y, settings, **how):
    run = training(x, y, settings, **how)
    run.run(lambda epoch: None, lambda step: None)
    return run.groups[0].heads


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize(
    ("schedule", "share"),
    [
        ({}, lambda step: 0.5 * (1 + math.cos(math.pi * step / 9))),
        ({"name": "step", "milestones": (1 / 3, 2 / 3)}, lambda step: 0.1 ** (step // 3)),
    ],
)
def test_every_head_is_what_torch_trains_alone(nesterov, schedule, share):
    x, y = toy()
    first = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    heads = fit(x, y, SETTINGS, weight=first, nesterov=nesterov, **schedule)
    for head, setting in enumerate(SETTINGS):
        layer = torch.nn.Linear(6, 4)
        layer.weight.data.copy_(first.T)
        torch.nn.init.zeros_(layer.bias)
        groups = [
            {"params": [layer.weight], "weight_decay": setting.weight_decay},
            {"params": [layer.bias], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.SGD(groups, lr=setting.lr, momentum=0.9, nesterov=nesterov)
        order = torch.Generator().manual_seed(0)
        for step in range(9):
            if step % 3 == 0:
                batches = torch.randperm(90, generator=order).split(32)
            for group in optimizer.param_groups:
                group["lr"] = setting.lr * share(step)
            batch = batches[step % 3]
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(layer(x[batch]), y[batch]).backward()
            optimizer.step()
        torch.testing.assert_close(heads.weight[:, :, head].T, layer.weight.detach())
        torch.testing.assert_close(heads.bias[:, head], layer.bias.detach())
        answers = layer(x).argmax(1)
        assert heads.accuracy(rows(x), y)[head] == (answers == y).double().mean()
        ranked = heads.ranked(head, rows(x), 4)
        assert torch.equal(ranked[:, 0], answers)
        assert torch.equal(ranked.sort(1).values, torch.arange(4).expand(90, 4))


def test_a_head_does_not_depend_on_the_others():
    x, y = toy()
    together, alone = fit(x, y, SETTINGS), fit(x, y, SETTINGS[2:3])
    torch.testing.assert_close(together.weight[:, :, 2], alone.weight[:, :, 0])


def test_heads_on_several_inputs_are_those_on_each():
    x, y = toy()
    inputs, counts = (x, 2 * x.flip(1)), (1, 3)
    stream = CachedBatches([rows(part) for part in inputs], y, 32, 0)
    groups = [
        HeadsInTraining(torch.zeros(6, 4), SETTINGS[:count], momentum=0.9) for count in counts
    ]
    run = LinearTraining(groups, stream, Schedule(9), 3)
    run.run(lambda epoch: None, lambda step: None)
    alone = [fit(part, y, SETTINGS[:count]) for part, count in zip(inputs, counts, strict=True)]
    for group, heads in zip(groups, alone, strict=True):
        assert torch.equal(group.heads.weight, heads.weight)
    accuracies = [h.accuracy(rows(part), y) for h, part in zip(alone, inputs, strict=True)]
    found = run.accuracy([rows(part) for part in inputs], y)
    assert torch.equal(found, torch.cat(accuracies))
    assert torch.equal(run.head(0).weight[:, :, 0], alone[0].weight[:, :, 0])
    assert torch.equal(run.head(3).bias[:, 0], alone[1].bias[:, 2])


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("stop", [1, 3, 5])
def test_stopped_and_resumed_equals_never_stopped(nesterov, stop):
    class Stop(Exception):
        pass

    def until(step):
        if step == stop:
            raise Stop

    x, y = toy()
    stopped = training(x, y, SETTINGS, nesterov=nesterov)
    with pytest.raises(Stop):
        stopped.run(lambda epoch: None, until)
    resumed, epochs, steps = training(x, y, SETTINGS, nesterov=nesterov), [], []
    resumed.load(stopped.state())
    resumed.run(epochs.append, steps.append)
    whole = fit(x, y, SETTINGS, nesterov=nesterov)
    assert torch.equal(resumed.groups[0].heads.weight, whole.weight)
    assert torch.equal(resumed.groups[0].heads.bias, whole.bias)
    assert steps == list(range(stop + 1, 10))
    assert epochs == [epoch for epoch in (1, 2, 3) if 3 * epoch > stop]


def test_a_head_taken_out_is_left_alone_by_further_training():
    x, y = toy()
    kept = []
    run = training(x, y, SETTINGS)
    run.run(lambda epoch: kept.append(run.head(2)), lambda step: None)
    assert not torch.equal(kept[0].weight, kept[1].weight)
    assert torch.equal(kept[2].weight[:, :, 0], run.groups[0].heads.weight[:, :, 2])


def test_every_image_is_seen_once_an_epoch_with_its_label():
    stream = CachedBatches([rows(torch.arange(90.0)[:, None])], torch.arange(90), 32, 0)
    batches = stream.batches(0)
    for _ in range(2):
        seen = [next(batches) for _ in range(stream.epoch_steps)]
        x, y = torch.cat([x for (x,), _ in seen]), torch.cat([y for _, y in seen])
        assert torch.equal(x[:, 0].long(), y)
        assert torch.equal(y.sort().values, torch.arange(90))


def test_rows_are_standardised_a_block_at_a_time():
    x, _ = toy()
    standardise = Standardiser.of(x)
    assert torch.equal(Rows(x, CPU, standardise)[5:9], standardise(x)[5:9])
    assert torch.equal(Rows(x, CPU, standardise)[torch.tensor([7, 3])], standardise(x)[[7, 3]])


def test_the_seed_decides_the_order():
    x, y = toy()
    one, same, other = (fit(x, y, SETTINGS, seed=seed).weight for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_accuracy_in_blocks_is_accuracy(monkeypatch):
    x, y = toy()
    heads = fit(x, y, SETTINGS)
    whole = heads.accuracy(rows(x), y)
    monkeypatch.setattr("sslbench.nn.linear.BLOCK", 7 * 16)
    assert torch.equal(heads.accuracy(rows(x), y), whole)


def test_a_diverged_head_is_never_chosen_nor_used():
    weight, bias = torch.zeros(6, 4, 2), torch.zeros(4, 2)
    weight[0, 0, 1] = float("nan")
    heads = LinearHeads(weight, bias)
    x, y = toy()
    assert heads.accuracy(rows(x), y).tolist() == [(y == 0).double().mean(), -1.0]
    with pytest.raises(Diverged, match="smaller rate"):
        heads.ranked(1, rows(x), 3)
    with pytest.raises(Diverged, match="take smaller ones"):
        best_setting([Setting(3.0, 0.0)], torch.tensor([-1.0]))


def test_of_equals_the_lower_rate_and_then_more_decay_is_chosen():
    settings = [Setting(1.0, 0.0), Setting(0.1, 0.0), Setting(0.1, 1e-3), Setting(0.01, 0.0)]
    best, accuracy = best_setting(settings, torch.tensor([0.5, 0.5, 0.5, 0.4]))
    assert (best, accuracy) == (2, 0.5)


def test_standardised_features_have_unit_mean_square_length():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 8, generator=generator) * torch.logspace(-4, 2, 8) + 5
    z = Standardiser.of(x)(x)
    assert z.square().sum(1).mean().item() == pytest.approx(1, abs=1e-3)
    assert z.mean(0).abs().max() < 1e-3
    spread = z.std(0)
    assert spread[7] / spread[6] == pytest.approx(1, rel=0.3)
    assert spread[0] < 0.01 * spread[7]  # what hardly varies is not blown up


def test_features_that_are_all_alike_become_zeros():
    x = torch.full((5, 3), 0.7)
    assert torch.equal(Standardiser.of(x)(x), torch.zeros(5, 3))
