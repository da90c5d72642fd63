"""CMC on a small split encoder: its losses, its banks, and what planning refuses."""

import math

import pytest
import torch

from sslbench.api import Batch, DataInfo, Needs, methods
from sslbench.config import build
from sslbench.errors import ConfigError
from sslbench.needs import check_needs
from sslbench.nn import Encoder, EncoderConfig, unit
from sslbench.plan import Environs, plan
from sslbench.registry import METHODS
from sslbench.suite import load_suite
from tests.methods.small import IMAGENET, Draws

DATA = DataInfo(images=48, batch_size=8, image_size=16, epochs=10, steps_per_epoch=6)
SPLIT = EncoderConfig(
    name="resnet18",
    stem="small",
    options={"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8]},
    input="lab_split",
)
INDEX = torch.arange(0, 48, 6)
BANKS = {"contrast": "memory bank"}


def scaled(data=DATA, **params):
    cls = methods.get("cmc")
    return cls.scaled(build(cls.Config, {"dim": 16, **params}, "cmc"), data)


def make(seed=0, **params):
    torch.manual_seed(seed)
    return methods.get("cmc")(Encoder(SPLIT), scaled(**params), DATA).double()


def batch(seed=0, dtype=torch.float64):
    views = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    return Batch((views.to(dtype),), INDEX)


def embeddings(method, view):
    """Lightness and colour, N x D unit rows each, with their own heads, in training mode."""
    lightness, colour = method.encoder.towers(view)
    heads = method.lightness_head, method.colour_head
    return [unit(h(x)).detach() for h, x in zip(heads, (lightness, colour), strict=True)]


def score(one, other, temperature):
    dot = sum(float(x) * float(y) for x, y in zip(one, other, strict=True))
    return math.exp(dot / temperature)


@pytest.mark.parametrize("temperature", [0.01, 0.07, 10.0])
def test_the_in_batch_loss_is_that_of_a_double_loop_in_both_directions(temperature):
    method = make(temperature=temperature)
    found = method.loss(batch(), Draws())
    lightness, colour = embeddings(method, batch().views[0])
    assert set(found) == {"lightness", "colour"}
    for name, queries, keys in (("lightness", lightness, colour), ("colour", colour, lightness)):
        total = 0.0
        for row, query in enumerate(queries):
            scores = [score(query, key, temperature) for key in keys]
            total -= math.log(scores[row] / sum(scores))
        assert found[name].item() == pytest.approx(total / 8 / 2, rel=1e-9)


@pytest.mark.parametrize("normaliser", ["first", "every"])
@pytest.mark.parametrize("negatives", [1, 20])
@pytest.mark.parametrize("temperature", [0.07, 10.0])
def test_each_tower_is_told_apart_in_the_others_bank_with_a_normaliser_of_its_own(
    temperature, negatives, normaliser
):
    method = make(**BANKS, temperature=temperature, negatives=negatives, normaliser=normaliser)
    context, constants = Draws(), {}
    for step in range(2):
        banks = {n: getattr(method, f"{n}_bank").features.clone() for n in ("lightness", "colour")}
        given = dict(zip(banks, embeddings(method, batch(step).views[0]), strict=True))
        found = method.loss(batch(step), context)
        assert len(context.given) == step + 1  # both directions see the same draws
        for name, other in (("lightness", "colour"), ("colour", "lightness")):
            scores = [
                [score(query, banks[other][c], temperature) for c in (own, *draws)]
                for query, own, draws in zip(
                    given[name], INDEX.tolist(), context.given[-1], strict=True
                )
            ]
            if step == 0 or normaliser == "every":
                constants[name] = 48 * sum(map(sum, scores)) / (8 * (1 + negatives))
            total, noise = 0.0, negatives / 48
            for own, *others in scores:
                p = own / constants[name]
                total -= math.log(p / (p + noise + 1e-7))
                total -= sum(math.log(noise / (s / constants[name] + noise + 1e-7)) for s in others)
            assert found[name].item() == pytest.approx(total / 8, rel=1e-6)
    assert constants["lightness"] != constants["colour"]


def test_each_bank_takes_its_own_towers_embeddings_at_the_batchs_rows_only():
    method = make(**BANKS, bank_momentum=0.25)
    given = embeddings(method, batch().views[0])
    banks = method.lightness_bank, method.colour_bank
    before = [bank.features.clone() for bank in banks]
    method.loss(batch(), Draws())
    for bank, expected, rows in zip(banks, before, given, strict=True):
        expected[INDEX] = unit(0.25 * expected[INDEX] + 0.75 * rows)
        torch.testing.assert_close(bank.features, expected)


@pytest.mark.parametrize("params", [{}, BANKS])
def test_every_parameter_gets_a_gradient_and_in_batch_there_are_no_banks(params):
    method = make(**params)
    sum(method.loss(batch(), Draws()).values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.parameters())
    state = {name.partition(".")[0] for name in method.state_dict()}
    banks = {"lightness_bank", "colour_bank", "lightness_normaliser", "colour_normaliser"}
    assert state & banks == (banks if params else set())


@pytest.mark.parametrize("params", [{}, BANKS])
def test_under_bfloat16_the_loss_stays_near_that_in_float32(params):
    full, half = (make(**params).float() for _ in range(2))
    expected = sum(full.loss(batch(dtype=torch.float32), Draws()).values()).item()
    with torch.autocast("cpu", torch.bfloat16):
        found = sum(half.loss(batch(dtype=torch.float32), Draws()).values())
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected, rel=0.05)  # 8 bits, through a whole encoder


@pytest.mark.parametrize("params", [{}, BANKS])
def test_images_that_are_all_alike_cost_what_chance_costs(params):
    method = make(**params).eval()  # alike in eval mode; batch norm would divide by nothing
    alike = batch().views[0][:1].expand(8, -1, -1, -1)
    found = method.loss(Batch((alike,), INDEX), Draws())
    assert all(term.isfinite() for term in found.values())
    if not params:
        assert sum(found.values()).item() == pytest.approx(math.log(8), rel=1e-9)


@pytest.mark.parametrize("params", [{}, BANKS])
def test_state_survives_a_checkpoint(params):
    method, other = make(**params), make(seed=1, **params)
    method.loss(batch(), Draws())
    other.load_state_dict(method.state_dict())
    one, two = (m.loss(batch(1), Draws()) for m in (method, other))
    assert {k: v.item() for k, v in one.items()} == {k: v.item() for k, v in two.items()}


def test_the_rules_give_the_papers_negatives_on_imagenet_and_half_the_images_below():
    found = scaled(IMAGENET, **BANKS)
    assert (found.negatives, found.normaliser) == (16_384, "first")
    assert scaled(**BANKS).negatives == 24
    assert scaled(IMAGENET).negatives == 255
    for params in ({}, BANKS):
        once = scaled(**params)
        cls = methods.get("cmc")
        assert cls.scaled(build(cls.Config, once.hashed(), "cmc"), DATA) == once


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"negatives": 3}, "all 7 others.*Leave it at auto, or take contrast: memory bank"),
        ({**BANKS, "negatives": 49}, "largest that works is 48"),
        ({"contrast": "queue"}, "contrast"),
        ({"temperature": 0.0}, "temperature"),
        ({"bank_momentum": 1.0}, "bank_momentum"),
        ({**BANKS, "negatives": 0}, "negatives"),
    ],
)
def test_planning_refuses_what_cannot_work(params, message):
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        scaled(**params)


def test_a_batch_of_one_has_no_negatives_but_in_a_bank():
    one = DataInfo(48, 1, 16, 10, 48)
    with pytest.raises(ConfigError, match="at least 2"):
        scaled(one)
    assert scaled(one, **BANKS).negatives == 24


def test_cmc_is_planned_with_a_split_encoder_whatever_the_suites():
    environs = Environs(bf16=False, count=lambda spec: 48)
    for label in ("cmc", "cmc@memory-bank"):
        row = plan(load_suite("smoke"), [label], [0], {}, environs)[0]
        assert row.config.encoder.input == "lab_split"
        assert row.config.pretrain.full_views == 1
        assert "encoder.input = lab_split" in row.notes
        with pytest.raises(ConfigError, match="needs encoder"):
            check_needs(label, Needs(1, input="lab_split"), row.config.pretrain, EncoderConfig())
    assert set(METHODS.defaults("cmc")["variants"]) == {"memory-bank"}
