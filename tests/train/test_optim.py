"""Schedules and optimisers against formulas and recorded references."""

import math

import pytest
import torch
from torch import nn

from sslbench.api import ParamGroup
from sslbench.errors import PluginError
from sslbench.run import OptimConfig
from sslbench.train.optim import LARS, build_optimizer, lr_factor, peak_lr, set_lr


def test_the_rate_is_scaled_with_the_batch_and_the_configuration_stays() -> None:
    config = OptimConfig(lr=0.03, lr_per_batch=256)
    assert peak_lr(config, 1024) == pytest.approx(0.12)
    assert peak_lr(config.model_copy(update={"lr_scaling": "sqrt"}), 1024) == pytest.approx(0.06)
    assert peak_lr(config.model_copy(update={"lr_per_batch": None}), 1024) == 0.03
    assert config.lr == 0.03


def test_cosine_runs_from_one_to_the_final_share() -> None:
    config = OptimConfig(lr=1.0, final_lr=0.1)
    assert lr_factor(config, 0, 10, 20) == 1.0
    assert lr_factor(config, 100, 10, 20) == pytest.approx(0.55)
    assert lr_factor(config, 200, 10, 20) == pytest.approx(0.1)


def test_warmup_rises_linearly_from_zero_and_cosine_begins_after_it() -> None:
    config = OptimConfig(lr=1.0, warmup_epochs=2)
    assert [lr_factor(config, step, 10, 12) for step in (0, 5, 10, 20)] == [0, 0.25, 0.5, 1.0]
    assert lr_factor(config, 70, 10, 12) == pytest.approx(0.5)


def test_steps_take_a_tenth_at_each_milestone() -> None:
    config = OptimConfig(lr=1.0, schedule="step", milestones=(0.6, 0.8))
    factors = [lr_factor(config, epoch * 5, 5, 200) for epoch in (0, 119, 120, 159, 160)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_a_schedule_by_epoch_changes_only_there() -> None:
    config = OptimConfig(lr=1.0, per_step=False)
    assert lr_factor(config, 19, 10, 4) == lr_factor(config, 10, 10, 4)
    assert lr_factor(config, 10, 10, 4) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))


def test_a_group_may_keep_its_rate_and_scale_it() -> None:
    model = nn.Linear(2, 2)
    groups = [ParamGroup([model.weight], lr_scale=2.0), ParamGroup([model.bias], constant_lr=True)]
    config = OptimConfig(lr=1.0, lr_per_batch=None)
    optimizer = build_optimizer(groups, config, 4)
    set_lr(optimizer, config, 4, 5, 10, 1)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1.0, 1.0])


def test_biases_and_norms_decay_only_where_the_suite_says_so() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    groups = [ParamGroup(list(model.parameters()))]
    plain = build_optimizer(groups, OptimConfig(lr=1.0, weight_decay=0.1), 4)
    assert [(len(g["params"]), g["weight_decay"]) for g in plain.param_groups] == [(4, 0.1)]
    apart = build_optimizer(groups, OptimConfig(lr=1.0, weight_decay=0.1, decay_norms=False), 4)
    assert [(len(g["params"]), g["weight_decay"]) for g in apart.param_groups] == [
        (1, 0.1),
        (3, 0.0),
    ]


def test_a_parameter_in_two_groups_is_refused() -> None:
    weight = nn.Parameter(torch.ones(2))
    with pytest.raises(PluginError, match="two groups"):
        build_optimizer([ParamGroup([weight]), ParamGroup([weight])], OptimConfig(lr=1.0), 4)


def test_lars_follows_its_formula_in_float64() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    bias = torch.randn(4, generator=generator, dtype=torch.float64)
    params = [nn.Parameter(weight.clone()), nn.Parameter(bias.clone())]
    optimizer = LARS([{"params": params, "weight_decay": 0.1}], lr=0.5, momentum=0.9, trust=0.01)
    velocity = [torch.zeros_like(weight), torch.zeros_like(bias)]
    for _ in range(3):
        grads = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in params]
        for param, grad in zip(params, grads, strict=True):
            param.grad = grad.clone()
        optimizer.step()
        decayed = grads[0] + 0.1 * weight
        scaled = decayed * 0.01 * weight.norm() / decayed.norm()
        velocity = [0.9 * velocity[0] + scaled, 0.9 * velocity[1] + grads[1]]
        weight, bias = weight - 0.5 * velocity[0], bias - 0.5 * velocity[1]
    assert torch.allclose(params[0], weight, atol=1e-12)
    assert torch.allclose(params[1], bias, atol=1e-12)
