"""BYOL: its loss against a loop, its momentum encoder, what planning gives and refuses."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sslbench.api import Batch, DataInfo, methods
from sslbench.config import build
from sslbench.errors import ConfigError
from sslbench.nn import Encoder
from tests.methods.small import DATA, SMALL, Rows, image_batch, rows_batch


def at(progress=0.0):
    return SimpleNamespace(progress=progress)


def make(encoder=None, seed=0, data=DATA, **params):
    torch.manual_seed(seed)
    cls = methods.get("byol")
    config = build(cls.Config, {"dim": 16, **params}, "byol")
    return cls(encoder or Encoder(SMALL), cls.scaled(config, data), data)


def bare(dtype=torch.float64):
    """BYOL of rows, whose heads are single layers; the momentum encoder has other weights."""
    method = make(Rows())
    method.projector, method.predictor = nn.Linear(5, 4), nn.Linear(4, 4)
    method.momentum_encoder.copies[1] = nn.Linear(5, 4)
    return method.to(dtype)


def squared(one, other):
    """The squared distance of two rows at unit length."""
    one, other = one.tolist(), other.tolist()
    lengths = [math.sqrt(sum(x * x for x in row)) for row in (one, other)]
    return sum((x / lengths[0] - y / lengths[1]) ** 2 for x, y in zip(one, other, strict=True))


def test_the_loss_equals_a_loop_over_images_and_directions():
    method, given = bare(), rows_batch()
    total = 0.0
    for row in range(6):
        for first, second in ((0, 1), (1, 0)):
            view = given.views[first][row]
            prediction = method.predictor(method.projector(method.encoder(view)))
            total += squared(prediction, method.momentum_encoder(given.views[second][row]))
    (term,) = method.loss(given, at()).values()
    assert term.item() == pytest.approx(total / 6, abs=1e-12)


def test_a_prediction_that_is_its_target_costs_nothing_and_one_opposite_costs_four_per_direction():
    for sign, cost in ((1, 0), (-1, 8)):
        method = bare()
        method.predictor = nn.Identity()
        method.momentum_encoder.copies[0].load_state_dict(method.encoder.state_dict())
        with torch.no_grad():
            for copied, own in zip(
                method.momentum_encoder.copies[1].parameters(),
                method.projector.parameters(),
                strict=True,
            ):
                copied.copy_(sign * own)
        view = rows_batch().views[0]
        (term,) = method.loss(Batch((view, view), torch.arange(6)), at()).values()
        assert term.item() == pytest.approx(cost, abs=1e-12)


def test_no_gradient_reaches_the_momentum_encoder_and_one_reaches_all_else():
    method = make()
    terms = method.loss(image_batch(), at())
    assert set(terms) == {"squared_distance"}
    terms["squared_distance"].backward()
    copies = {id(p) for p in method.momentum_encoder.parameters()}
    for parameter in method.parameters():
        assert (parameter.grad is None) == (id(parameter) in copies)


@pytest.mark.parametrize("progress", [0.0, 0.5, 0.99])
def test_the_momentum_encoder_moves_after_the_step_and_ever_more_slowly(progress):
    method = make(momentum=0.9)
    before = [p.clone() for p in method.momentum_encoder.parameters()]
    with torch.no_grad():
        for parameter in [*method.encoder.parameters(), *method.projector.parameters()]:
            parameter += 1
    method.loss(image_batch(), at(progress))
    for was, now in zip(before, method.momentum_encoder.parameters(), strict=True):
        assert torch.equal(was, now)
    method.on_step_end(at(progress))
    share = 0.1 * (1 + math.cos(math.pi * progress)) / 2
    for was, now in zip(before, method.momentum_encoder.parameters(), strict=True):
        torch.testing.assert_close(now, was + share, atol=1e-6, rtol=1e-5)


def test_each_view_has_batch_statistics_of_its_own_in_both_encoders():
    method = make()
    method.loss(image_batch(), at())
    norms = [m for m in method.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    assert {int(norm.num_batches_tracked) for norm in norms} == {2}


def test_the_heads_are_twice_as_wide_as_a_feature_and_end_without_norm_and_bias():
    method = make(Rows(dim=6), dim=3)
    for head, inputs in ((method.projector, 6), (method.predictor, 3)):
        assert [type(m).__name__ for m in head] == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
        assert (head[0].in_features, head[0].out_features, head[3].out_features) == (inputs, 12, 3)
        assert head[0].bias is None
        assert head[3].bias is None


def test_bfloat16_gives_the_loss_within_a_twentieth_in_float32():
    given = rows_batch(64, dtype=torch.float32)
    method = bare(torch.float32)
    (full,) = method.loss(given, at()).values()
    with torch.autocast("cpu", torch.bfloat16):
        (half,) = method.loss(given, at()).values()
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(full.item(), abs=0.05)  # of 8, its range


def test_equal_images_cost_what_one_of_them_does():
    method, one = bare(), rows_batch(1)
    many = Batch(tuple(view.expand(6, 5) for view in one.views), torch.arange(6))
    (alone,), (together,) = (method.loss(b, at()).values() for b in (one, many))
    assert together.item() == pytest.approx(alone.item(), abs=1e-12)


def test_state_survives_a_checkpoint():
    method, other = make(), make(seed=1)
    method.loss(image_batch(), at())
    method.on_step_end(at())
    other.load_state_dict(method.state_dict())
    (one,), (two,) = (m.loss(image_batch(), at()).values() for m in (method, other))
    assert one.item() == two.item()


def test_the_momentum_is_the_papers_for_1000_and_for_300_epochs_of_imagenet():
    cls = methods.get("byol")
    for epochs, expected in ((1000, 0.996), (300, 0.99)):
        data = DataInfo(1_281_167, 4096, 224, epochs, 312)
        assert cls.scaled(cls.Config(), data).momentum == expected
    assert cls.scaled(cls.Config(), DataInfo(1_281_167, 256, 224, 200, 5004)).momentum == 0.996
    once = cls.scaled(cls.Config(momentum=0.5), DATA)
    assert once.momentum == 0.5
    assert cls.scaled(once, DATA) == once


def test_a_batch_of_one_and_numbers_out_of_range_are_refused():
    cls = methods.get("byol")
    with pytest.raises(ConfigError, match=r"batch_size = 1.*at least 2"):
        cls.scaled(cls.Config(), DataInfo(64, 1, 16, 10, 64))
    for params in ({"momentum": 1.0}, {"momentum": -0.1}, {"hidden_width": 0}, {"dim": 0}):
        with pytest.raises(ConfigError, match=next(iter(params))):
            build(cls.Config, params, "byol")
