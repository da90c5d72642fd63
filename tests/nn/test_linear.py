"""Many linear classifiers in one pass against torch's own layer, loss and optimiser, one by one."""

import math

import pytest
import torch

from sslbench.errors import Diverged
from sslbench.nn.linear import LinearHeads, Setting, Standardiser, best_setting, fit_linear


def toy(n=90, dim=6, classes=4):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, dim, generator=generator), torch.randint(
        classes, (n,), generator=generator
    )


def fit(x, y, settings, epochs=3, seed=0):
    return fit_linear(
        x,
        y,
        4,
        settings,
        epochs=epochs,
        batch_size=32,
        momentum=0.9,
        seed=seed,
        on_epoch=lambda epoch: None,
    )


SETTINGS = [Setting(lr, decay) for lr in (0.01, 1.0) for decay in (0.0, 0.1)]


def test_every_head_is_what_torch_trains_alone():
    x, y = toy()
    heads = fit(x, y, SETTINGS)
    for head, setting in enumerate(SETTINGS):
        layer = torch.nn.Linear(6, 4)
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
        groups = [
            {"params": [layer.weight], "weight_decay": setting.weight_decay},
            {"params": [layer.bias], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.SGD(groups, lr=setting.lr, momentum=0.9)
        order = torch.Generator().manual_seed(0)
        for step in range(9):
            if step % 3 == 0:
                batches = torch.randperm(90, generator=order).split(32)
            for group in optimizer.param_groups:
                group["lr"] = setting.lr * 0.5 * (1 + math.cos(math.pi * step / 9))
            batch = batches[step % 3]
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(layer(x[batch]), y[batch]).backward()
            optimizer.step()
        torch.testing.assert_close(heads.weight[:, :, head].T, layer.weight.detach())
        torch.testing.assert_close(heads.bias[:, head], layer.bias.detach())
        answers = layer(x).argmax(1)
        assert heads.accuracy(x, y)[head] == (answers == y).double().mean()
        assert torch.equal(heads.ranked(head, x, 4)[:, 0], answers)
        assert torch.equal(heads.ranked(head, x, 4).sort(1).values, torch.arange(4).expand(90, 4))


def test_a_head_does_not_depend_on_the_others():
    x, y = toy()
    together, alone = fit(x, y, SETTINGS), fit(x, y, SETTINGS[2:3])
    torch.testing.assert_close(together.weight[:, :, 2], alone.weight[:, :, 0])


def test_the_seed_decides_the_order():
    x, y = toy()
    one, same, other = (fit(x, y, SETTINGS, seed=seed).weight for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_accuracy_in_blocks_is_accuracy(monkeypatch):
    x, y = toy()
    heads = fit(x, y, SETTINGS)
    whole = heads.accuracy(x, y)
    monkeypatch.setattr("sslbench.nn.linear.BLOCK", 7 * 16)
    assert torch.equal(heads.accuracy(x, y), whole)


def test_a_diverged_head_is_never_chosen_nor_used():
    weight, bias = torch.zeros(6, 4, 2), torch.zeros(4, 2)
    weight[0, 0, 1] = float("nan")
    heads = LinearHeads(weight, bias)
    x, y = toy()
    assert heads.accuracy(x, y).tolist() == [(y == 0).double().mean(), -1.0]
    with pytest.raises(Diverged, match="smaller rate"):
        heads.ranked(1, x, 3)
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
