"""InstDisc on a small real encoder: its losses, its bank, and what planning refuses."""

import math

import pytest
import torch

from sslbench.api import Batch, DataInfo, methods
from sslbench.config import build
from sslbench.errors import ConfigError
from sslbench.nn import Encoder, unit
from tests.methods.small import IMAGENET, SMALL, Draws

DATA = DataInfo(images=48, batch_size=8, image_size=16, epochs=10, steps_per_epoch=6)
INDEX = torch.arange(0, 48, 6)


def scaled(data=DATA, **params):
    cls = methods.get("instdisc")
    return cls.scaled(build(cls.Config, {"dim": 16, **params}, "instdisc"), data)


def make(seed=0, **params):
    torch.manual_seed(seed)
    return methods.get("instdisc")(Encoder(SMALL), scaled(**params), DATA).double()


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    views = torch.rand(8, 3, 16, 16, generator=generator, dtype=torch.float64)
    return Batch((views,), INDEX)


def recorded(method):
    """What the head gives at every step, at length 1."""
    given = []
    method.head.register_forward_hook(
        lambda module, inputs, output: given.append(unit(output.detach()))
    )
    return given


def score(one, other, temperature):
    dot = sum(float(x) * float(y) for x, y in zip(one, other, strict=True))
    return math.exp(dot / temperature)


@pytest.mark.parametrize("temperature", [0.07, 1.0, 10.0])
@pytest.mark.parametrize("negatives", [1, 20])
@pytest.mark.parametrize("estimate", ["first", "every"])
def test_nce_is_that_of_a_double_loop_whose_normaliser_the_first_or_every_batch_gives(
    temperature, negatives, estimate
):
    method = make(temperature=temperature, negatives=negatives, normaliser=estimate)
    context = Draws()
    given, normaliser = recorded(method), None
    for step in range(2):
        bank = method.bank.features.clone()
        found = method.loss(batch(step), context)
        scores = [
            [score(q, bank[c], temperature) for c in (own, *draws)]
            for q, own, draws in zip(given[-1], INDEX.tolist(), context.given[-1], strict=True)
        ]
        if normaliser is None or estimate == "every":
            normaliser = 48 * sum(map(sum, scores)) / (8 * (1 + negatives))
        noise, total = negatives / 48, 0.0
        for own, *others in scores:
            total -= math.log(own / normaliser / (own / normaliser + noise + 1e-7))
            total -= sum(math.log(noise / (s / normaliser + noise + 1e-7)) for s in others)
        assert set(found) == {"nce"}
        assert found["nce"].item() == pytest.approx(total / 8, rel=1e-9)


@pytest.mark.parametrize("loss", ["info_nce", "softmax"])
def test_the_softmax_losses_are_those_of_a_double_loop(loss):
    method, context = make(loss=loss), Draws()
    given, bank, total = recorded(method), method.bank.features.clone(), 0.0
    found = method.loss(batch(), context)
    for row, own in enumerate(INDEX.tolist()):
        drawn = range(48) if loss == "softmax" else [own, *context.given[0][row]]
        everyone = sum(score(given[0][row], bank[c], 0.07) for c in drawn)
        total -= math.log(score(given[0][row], bank[own], 0.07) / everyone)
    assert set(found) == {loss}
    assert found[loss].item() == pytest.approx(total / 8, rel=1e-9)
    assert len(context.given) == (loss == "info_nce")


@pytest.mark.parametrize("loss", ["nce", "info_nce", "softmax"])
@pytest.mark.parametrize("temperature", [0.01, 10.0])
def test_extreme_temperatures_and_bfloat16_give_finite_steps_near_the_exact_ones(loss, temperature):
    exact = make(loss=loss, temperature=temperature).loss(batch(), Draws())[loss]
    method = make(loss=loss, temperature=temperature).float()
    views = Batch((batch().views[0].float(),), INDEX)
    with torch.autocast("cpu", torch.bfloat16):
        found = method.loss(views, Draws())[loss]
    found.backward()
    assert found.dtype == torch.float32
    assert all(p.grad.isfinite().all() for p in method.parameters())
    # A similarity moves by up to about 0.01 through an encoder in bfloat16.
    assert found.item() == pytest.approx(exact.item(), rel=0.05, abs=0.05 / temperature)


def test_equal_images_have_equal_embeddings_and_a_finite_loss():
    views = batch().views[0][:1].expand(8, -1, -1, -1)
    for loss in ("nce", "info_nce", "softmax"):
        found = make(loss=loss).loss(Batch((views,), INDEX), Draws())[loss]
        found.backward()
        assert found.isfinite()


def test_the_bank_moves_half_way_to_the_batchs_embeddings_and_nowhere_else():
    method = make()
    given, before = recorded(method), method.bank.features.clone()
    method.loss(batch(), Draws())
    mixed = (before[INDEX] + given[0]) / 2
    expected = before.clone()
    expected[INDEX] = unit(mixed)
    torch.testing.assert_close(method.bank.features, expected)


def test_the_gradient_is_that_of_the_bank_before_the_step():
    method = make(normaliser="first")
    before = {name: value.clone() for name, value in method.state_dict().items()}
    found = method.loss(batch(), Draws())["nce"]
    found.backward()
    gradient = method.head[0].weight.grad[0, 0].item()
    fixed = {f"normaliser.{name}": value for name, value in method.normaliser.state_dict().items()}
    totals = []
    for shift in (1e-6, -1e-6):
        method.load_state_dict({**before, **fixed})  # Z of the step, not of the shifted weight
        with torch.no_grad():
            method.head[0].weight[0, 0] += shift
        totals.append(method.loss(batch(), Draws())["nce"].item())
    assert (totals[0] - totals[1]) / 2e-6 == pytest.approx(gradient, rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("estimate", ["first", "every"])
def test_state_survives_a_checkpoint(estimate):
    method, other = (make(seed, normaliser=estimate) for seed in (0, 1))
    method.loss(batch(), Draws())
    other.load_state_dict(method.state_dict())
    one, two = (m.loss(batch(1), Draws())["nce"].item() for m in (method, other))
    assert one == two


def test_at_imagenets_size_the_rules_give_what_the_authors_chose():
    assert scaled(IMAGENET).negatives == 4096
    assert scaled(IMAGENET).normaliser == "first"
    assert scaled().negatives == 24
    assert scaled().normaliser == "every"
    assert scaled(loss="softmax").negatives == 47
    for params in ({}, {"loss": "softmax"}, {"negatives": 48}):
        once = scaled(**params)
        assert scaled(**once.hashed()) == once


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"negatives": 49}, "negatives = 49 .*largest that works is 48.* gives 24"),
        ({"negatives": 0}, "negatives"),
        ({"negatives": 24, "loss": "softmax"}, "all 47 others.*info_nce"),
        ({"temperature": 0.0}, "temperature"),
        ({"bank_momentum": 1.0}, "bank_momentum"),
        ({"loss": "hinge"}, "loss"),
    ],
)
def test_planning_refuses_what_cannot_work(params, message):
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        scaled(**params)
