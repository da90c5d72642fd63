"""Schedules and optimisers against formulas and recorded references."""

import math
from copy import deepcopy

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


@pytest.mark.parametrize("name", ["sgd", "adamw", "lars"])
def test_a_layer_may_get_its_first_gradient_after_the_others(name: str) -> None:
    config = OptimConfig(name=name, lr=0.1, lr_per_batch=None, weight_decay=0.01, trust=0.5)
    late, twin, early = (nn.Parameter(torch.ones(3, 2)) for _ in range(3))
    optimizer = build_optimizer([ParamGroup([early, late])], config, 4)
    for step in range(3):
        early.grad = torch.full_like(early, 0.5)
        late.grad = torch.full_like(late, 0.25) if step else None
        optimizer.step()
        assert torch.equal(late, torch.ones(3, 2)) == (step == 0)
    alone = build_optimizer([ParamGroup([twin])], config, 4)
    for _ in range(2):
        twin.grad = torch.full_like(twin, 0.25)
        alone.step()
    assert torch.equal(late, twin)


@pytest.mark.parametrize("decay_norms", [True, False])
def test_sgd_has_the_numbers_of_torchs_plain_loop(decay_norms: bool) -> None:
    config = OptimConfig(lr=0.1, lr_per_batch=None, weight_decay=0.01, decay_norms=decay_norms)
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(4, 3, generator=generator), torch.randn(4, generator=generator)]
    ours, theirs = ([nn.Parameter(p.clone()) for p in start] for _ in range(2))
    optimizer = build_optimizer([ParamGroup(ours)], config, 4)
    groups = [
        {"params": theirs[:1], "weight_decay": 0.01},
        {"params": theirs[1:], "weight_decay": 0.01 if decay_norms else 0.0},
    ]
    plain = torch.optim.SGD(groups, lr=0.1, momentum=config.momentum, foreach=False, fused=False)
    for _ in range(5):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        optimizer.step()
        plain.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adamw", "lars"])
def test_an_optimiser_goes_on_from_its_state(name: str) -> None:
    config = OptimConfig(name=name, lr=0.1, lr_per_batch=None, weight_decay=0.01, trust=0.5)
    whole = nn.Parameter(torch.linspace(-1, 1, 6).view(3, 2))
    first = build_optimizer([ParamGroup([whole])], config, 4)
    whole.grad = torch.ones(3, 2)
    first.step()
    resumed = nn.Parameter(whole.detach().clone())
    second = build_optimizer([ParamGroup([resumed])], config, 4)
    second.load_state_dict(deepcopy(first.state_dict()))  # else they share their momenta
    for param, optimizer in ((whole, first), (resumed, second)):
        param.grad = torch.full_like(param, 0.5)
        optimizer.step()
    assert torch.equal(whole, resumed)


def test_lars_leaves_a_weight_of_zeros_and_a_gradient_of_zeros_unscaled() -> None:
    zeros, ones = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.ones(2, 2))
    groups = [{"params": [zeros, ones], "weight_decay": 0.0}]
    optimizer = LARS(groups, lr=1.0, momentum=0.0, trust=0.1)
    zeros.grad, ones.grad = torch.ones(2, 2), torch.zeros(2, 2)
    optimizer.step()
    assert torch.equal(zeros, -torch.ones(2, 2))
    assert torch.equal(ones, torch.ones(2, 2))
