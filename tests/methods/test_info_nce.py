"""InfoNCE end to end and its variants: the loss against loops, the draws, what is refused."""

import math

import pytest
import torch
from torch import nn

from sslbench.api import Batch, DataInfo
from sslbench.config import build
from sslbench.errors import ConfigError
from sslbench.methods.info_nce import InfoNCE
from sslbench.nn import Encoder, unit
from sslbench.registry import METHODS
from tests.methods.small import DATA, SMALL, Draws

VARIANTS = {
    None: {},
    **{k: v["params"] for k, v in METHODS.defaults("info_nce")["variants"].items()},
}


def on_rows(variant=None, **params):
    """InfoNCE whose encoder and head hand its views on."""
    encoder = nn.Identity()
    encoder.dim = 6  # of no effect
    config = build(InfoNCE.Config, {**VARIANTS[variant], **params}, "info_nce")
    made = InfoNCE(encoder, InfoNCE.scaled(config, DATA), DATA)
    made.head = nn.Identity()
    return made


def views(count=5, dim=6):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, count, dim, generator=generator, dtype=torch.float64).unbind()


def loss(method, one, other, context=None):
    terms = method.loss(Batch((one, other), torch.arange(len(one))), context or Draws())
    assert set(terms) == {"info_nce"}
    return terms["info_nce"]


def dot(one, other):
    return sum(x * y for x, y in zip(one.tolist(), other.tolist(), strict=True))


def looped(variant, one, other, temperature, draws):
    """The mean over queries of both directions; ``draws``: those of each direction."""
    losses = []
    for query, key, further in zip(
        (unit(one), unit(other)), (unit(other), unit(one)), draws or (None, None), strict=True
    ):
        count = len(query)
        for row in range(count):
            own = math.exp(dot(query[row], key[row]) / temperature)
            if variant == "nce":
                others = [(row + 1 + int(further[row])) % count]
            else:
                others = [column for column in range(count) if column != row]
            denominator = sum(math.exp(dot(query[row], key[c]) / temperature) for c in others)
            losses.append(-math.log(own / (denominator + (own if variant != "dcl" else 0))))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [0.01, 0.1, 10.0])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_loss_equals_a_double_loop_in_float64(variant, temperature):
    context = Draws()
    found = loss(on_rows(variant, temperature=temperature), *views(), context)
    expected = looped(variant, *views(), temperature, context.given)
    assert found.dtype == torch.float64
    assert float(found) == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("temperature", [0.01, 0.1, 10.0])
@pytest.mark.parametrize("variant", VARIANTS)
def test_bfloat16_costs_no_more_than_the_rounding_of_the_inputs(variant, temperature):
    method = on_rows(variant, temperature=temperature)
    exact = loss(method, *(view.float() for view in views()))
    rounded = [view.bfloat16().requires_grad_() for view in views()]
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(method, *rounded)
    assert found.dtype == torch.float32
    # A row turns by 2^-8 at most; a similarity moves by two such, a loss by two of those.
    assert abs(found.item() - exact.item()) <= 1.01 * 2**-6 / temperature
    found.backward()
    assert all(view.grad.isfinite().all() for view in rounded)


@pytest.mark.parametrize("variant", VARIANTS)
def test_among_copies_of_one_image_the_loss_is_the_logarithm_of_how_many_there_are(variant):
    copies = views(1)[0].repeat(5, 1).requires_grad_()
    found = loss(on_rows(variant, temperature=0.01), copies, copies)
    found.backward()
    expected = math.log({None: 5, "nce": 2, "dcl": 4}[variant])
    assert found.item() == pytest.approx(expected, abs=1e-9)
    assert copies.grad.isfinite().all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_of_two_images_the_other_is_the_one_negative(variant):
    one, other = (unit(view) for view in views(2))
    found = loss(on_rows(variant, temperature=0.5), one, other)
    positive, negative = (one * other).sum(1), (one * other.flip(0)).sum(1)
    both = torch.stack([negative - positive, negative.flip(0) - positive]) / 0.5
    expected = both if variant == "dcl" else nn.functional.softplus(both)
    torch.testing.assert_close(found, expected.mean())


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_image_has_no_negative_and_is_refused_in_the_loss_and_while_planning(variant):
    method = on_rows(variant)
    alone = DataInfo(images=64, batch_size=1, image_size=16, epochs=10, steps_per_epoch=64)
    with pytest.raises(ConfigError, match=r"batch_size = 1: .*at least 2"):
        InfoNCE.scaled(method.config, alone)
    with pytest.raises(ConfigError, match="at least 2"):
        loss(method, *views(1))


def test_the_views_may_change_places():
    for variant in (None, "dcl"):
        one, other = views()
        torch.testing.assert_close(
            loss(on_rows(variant), one, other), loss(on_rows(variant), other, one)
        )


def test_nce_draws_every_other_image_alike_and_never_the_querys_own():
    # Where the keys are the axes, a query's gradient points along its own and what was drawn.
    method, context, key = on_rows("nce", temperature=1.0), Draws(), torch.eye(4)
    itself, times = torch.eye(4, dtype=bool), torch.zeros(4, 4)
    for _ in range(300):
        query = torch.full((4, 4), 0.5, requires_grad=True)
        method._direction(query, key, context).backward()
        met = query.grad != 0
        assert met[itself].all()
        assert met.sum(1).tolist() == [2] * 4
        times += met
    shares = times[~itself] / 300
    assert 0.25 < shares.min() < shares.max() < 0.42


def test_nce_draws_anew_for_each_direction():
    context = Draws()
    loss(on_rows("nce"), *views(), context)
    assert [tuple(drawn.shape) for drawn in context.given] == [(5,), (5,)]
    assert not torch.equal(*context.given)


def test_only_nce_draws():
    for variant in (None, "dcl"):
        context = Draws()
        loss(on_rows(variant), *views(), context)
        assert not context.given


def test_the_decoupled_loss_of_one_negative_is_refused():
    with pytest.raises(ConfigError, match=r"decoupled = true with params.negatives = one"):
        on_rows("nce", decoupled=True)


@pytest.mark.parametrize("params", [{"temperature": 0.0}, {"dim": 0}, {"negatives": "two"}])
def test_values_out_of_range_are_refused(params):
    with pytest.raises(ConfigError, match=next(iter(params))):
        on_rows(**params)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_step_on_images_gives_every_parameter_a_gradient(variant):
    torch.manual_seed(0)
    config = build(InfoNCE.Config, {"dim": 16, **VARIANTS[variant]}, "info_nce")
    method = InfoNCE(Encoder(SMALL), InfoNCE.scaled(config, DATA), DATA)
    images = torch.rand(16, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    loss(method, images, images.flip(3)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.parameters())
