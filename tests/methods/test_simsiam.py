"""SimSiam: its loss against a loop, its two learning rates, what planning refuses."""

import pytest
import torch
from torch import nn

from sslbench.api import Batch, DataInfo, methods
from sslbench.config import build
from sslbench.errors import ConfigError
from sslbench.nn import Encoder
from sslbench.run import OptimConfig
from sslbench.train.optim import build_optimizer, set_lr
from tests.methods.small import DATA, SMALL, Rows, cosine, image_batch, rows_batch


def make(encoder=None, seed=0, **params):
    torch.manual_seed(seed)
    cls = methods.get("simsiam")
    config = build(cls.Config, params, "simsiam")
    return cls(encoder or Encoder(SMALL), cls.scaled(config, DATA), DATA)


def bare(dtype=torch.float64):
    """SimSiam of rows, whose heads are single layers."""
    method = make(Rows())
    method.projector, method.predictor = nn.Linear(5, 4), nn.Linear(4, 4)
    return method.to(dtype)


def test_the_loss_equals_a_loop_over_images_and_directions():
    method, given = bare(), rows_batch()
    total = 0.0
    for row in range(6):
        for first, second in ((0, 1), (1, 0)):
            one, other = (
                method.projector(method.encoder(given.views[v][row])) for v in (first, second)
            )
            total -= cosine(method.predictor(one), other)
    (term,) = method.loss(given, None).values()
    assert term.item() == pytest.approx(total / 12, abs=1e-12)


def test_the_gradient_is_that_of_predictions_with_their_targets_held_fixed():
    method, given = bare(), rows_batch()
    (term,) = method.loss(given, None).values()
    term.backward()
    found = [p.grad.clone() for p in method.parameters()]
    method.zero_grad()
    one, other = (method.projector(method.encoder(view)) for view in given.views)
    fixed = one.detach().clone(), other.detach().clone()
    similar = nn.CosineSimilarity()
    loss = similar(method.predictor(one), fixed[1]) + similar(method.predictor(other), fixed[0])
    (-loss.mean() / 2).backward()
    for ours, parameter in zip(found, method.parameters(), strict=True):
        torch.testing.assert_close(ours, parameter.grad)


def test_all_parameters_get_a_gradient_and_the_loss_lies_between_minus_one_and_one():
    method = make()
    terms = method.loss(image_batch(), None)
    assert set(terms) == {"negative_cosine"}
    assert -1 <= terms["negative_cosine"].item() <= 1
    terms["negative_cosine"].backward()
    assert all(parameter.grad is not None for parameter in method.parameters())


def test_equal_views_and_an_identical_predictor_cost_minus_one():
    method = bare()
    method.predictor = nn.Identity()
    view = rows_batch().views[0]
    (term,) = method.loss(Batch((view, view), torch.arange(6)), None).values()
    assert term.item() == pytest.approx(-1, abs=1e-12)


def test_the_predictors_rate_stays_while_the_others_fall():
    method = make()
    groups = method.param_groups()
    assert [group.constant_lr for group in groups] == [False, True]
    assert {id(p) for p in groups[1].params} == {id(p) for p in method.predictor.parameters()}
    assert sum(len(group.params) for group in groups) == len([*method.parameters()])
    config = OptimConfig(lr=0.05)
    optimizer = build_optimizer(groups, config, 512)
    set_lr(optimizer, config, 512, step=20, steps_per_epoch=4, epochs=10)  # half of all steps
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.05, 0.1])


def test_the_heads_are_as_wide_as_a_feature_and_the_bottleneck_a_quarter_of_it():
    method = make(Rows(dim=8))
    linear = [m for m in method.projector if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [(8, 8)] * 3
    assert [type(m).__name__ for m in method.projector][-2:] == ["Linear", "BatchNorm1d"]
    assert not method.projector[-1].affine
    assert all(m.bias is None for m in linear)
    first, last = method.predictor[0], method.predictor[-1]
    assert (first.out_features, last.out_features) == (2, 8)
    assert first.bias is None
    assert last.bias is not None
    assert (
        len([m for m in make(Rows(), projector_layers=2).projector if isinstance(m, nn.Linear)])
        == 2
    )


def test_each_view_has_batch_statistics_of_its_own():
    method = make()
    method.loss(image_batch(), None)
    norms = [m for m in method.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    assert {int(norm.num_batches_tracked) for norm in norms} == {2}


def test_bfloat16_gives_the_loss_within_a_hundredth_in_float32():
    given = rows_batch(64, dtype=torch.float32)
    method = bare(torch.float32)
    (full,) = method.loss(given, None).values()
    with torch.autocast("cpu", torch.bfloat16):
        (half,) = method.loss(given, None).values()
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(full.item(), abs=0.01)


def test_equal_images_cost_what_one_of_them_does():
    method, one = bare(), rows_batch(1)
    many = Batch(tuple(view.expand(6, -1) for view in one.views), torch.arange(6))
    (alone,), (together,) = (method.loss(b, None).values() for b in (one, many))
    assert together.item() == pytest.approx(alone.item(), abs=1e-12)


def test_state_survives_a_checkpoint():
    method, other = make(), make(seed=1)
    method.loss(image_batch(), None)
    other.load_state_dict(method.state_dict())
    (one,), (two,) = (m.loss(image_batch(), None).values() for m in (method, other))
    assert one.item() == two.item()


def test_a_batch_of_one_and_numbers_out_of_range_are_refused():
    cls = methods.get("simsiam")
    with pytest.raises(ConfigError, match=r"batch_size = 1.*at least 2"):
        cls.scaled(cls.Config(), DataInfo(64, 1, 16, 10, 64))
    for params in ({"width": 0}, {"bottleneck": 0}, {"projector_layers": 0}):
        with pytest.raises(ConfigError, match=next(iter(params))):
            build(cls.Config, params, "simsiam")
    with pytest.raises(ConfigError, match="positive widths"):  # a bottleneck of no width
        make(Rows(), bottleneck=9)
