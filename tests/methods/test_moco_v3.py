"""MoCo v3: its loss against a double loop, its key encoder, its variant, what planning refuses."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sslbench.api import Batch, DataInfo, methods
from sslbench.config import build
from sslbench.errors import ConfigError
from sslbench.nn import Encoder, EncoderConfig, MomentumCopy
from sslbench.registry import METHODS
from tests.methods.small import DATA, SMALL, Rows, cosine, image_batch, rows_batch

VIT = METHODS.defaults("moco_v3")["variants"]["vit"]["params"]


def at(progress=0.0):
    return SimpleNamespace(progress=progress)


def make(encoder=None, seed=0, **params):
    torch.manual_seed(seed)
    cls = methods.get("moco_v3")
    config = build(cls.Config, {"dim": 16, **params}, "moco_v3")
    return cls(encoder or Encoder(SMALL), cls.scaled(config, DATA), DATA)


def bare(temperature, dtype=torch.float64):
    """MoCo v3 of rows, whose heads are single layers; the key encoder has other weights."""
    method = make(Rows(), temperature=temperature, momentum=0.5)
    method.projector, method.predictor = nn.Linear(5, 4), nn.Linear(4, 4)
    method.key_encoder.copies[1] = nn.Linear(5, 4).requires_grad_(False)
    return method.to(dtype)


def looped(method, given, temperature):
    """The loss by loops over images, with the key encoder as it is now."""
    total = 0.0
    for first, second in ((0, 1), (1, 0)):
        queries = method.predictor(method.projector(method.encoder(given.views[first])))
        keys = method.key_encoder(given.views[second])
        for row, query in enumerate(queries):
            logits = [cosine(query, key) / temperature for key in keys]
            largest = max(logits)
            partition = largest + math.log(sum(math.exp(logit - largest) for logit in logits))
            total += 2 * temperature * (partition - logits[row])
    return total / len(given.index)


@pytest.mark.parametrize("temperature", [0.01, 0.2, 1.0, 10.0])
@pytest.mark.parametrize("count", [2, 6])  # one negative, and some
def test_the_loss_equals_a_double_loop_over_queries_and_keys(temperature, count):
    method, given = bare(temperature), rows_batch(count)
    (term,) = method.loss(given, at()).values()
    expected = looped(method, given, temperature)
    assert term.item() == pytest.approx(expected, rel=1e-10)


def test_without_a_negative_the_loss_is_refused():
    with pytest.raises(ConfigError, match="at least 2"):
        bare(1.0).loss(rows_batch(1), at())


def test_equal_images_cost_the_logarithm_of_their_number():
    method, one = bare(0.2), rows_batch(1)
    many = Batch(tuple(view.expand(6, 5) for view in one.views), torch.arange(6))
    (term,) = method.loss(many, at()).values()
    assert term.item() == pytest.approx(2 * 2 * 0.2 * math.log(6), abs=1e-10)


def test_no_gradient_reaches_the_key_encoder_and_one_reaches_all_else():
    method = make()
    terms = method.loss(image_batch(), at())
    assert set(terms) == {"info_nce"}
    terms["info_nce"].backward()
    copies = {id(p) for p in method.key_encoder.parameters()}
    for parameter in method.parameters():
        assert (parameter.grad is None) == (id(parameter) in copies)


@pytest.mark.parametrize("progress", [0.0, 0.5, 0.99])
def test_the_key_encoder_moves_before_it_makes_the_keys_and_ever_more_slowly(progress):
    method, seen = make(momentum=0.9), []
    first = next(method.key_encoder.parameters())
    method.key_encoder.register_forward_pre_hook(lambda *given: seen.append(first.clone()))
    before = [p.clone() for p in method.key_encoder.parameters()]
    with torch.no_grad():
        for parameter in [*method.encoder.parameters(), *method.projector.parameters()]:
            parameter += 1
    method.loss(image_batch(), at(progress))
    share = 0.1 * (1 + math.cos(math.pi * progress)) / 2
    for was, now in zip(before, method.key_encoder.parameters(), strict=True):
        torch.testing.assert_close(now, was + share, atol=1e-6, rtol=1e-5)
    assert len(seen) == 2
    assert all(torch.equal(value, first) for value in seen)


def test_each_view_has_batch_statistics_of_its_own_in_both_encoders():
    method = make()
    method.loss(image_batch(), at())
    norms = [m for m in method.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    assert {int(norm.num_batches_tracked) for norm in norms} == {2}


def layers(head):
    return [
        m.out_features if isinstance(m, nn.Linear) else type(m).__name__
        for m in head
        if not isinstance(m, nn.ReLU)
    ]


def test_the_heads_have_no_bias_and_their_last_norm_no_scale():
    for params, projector, predictor in (
        ({}, [12, "BatchNorm1d", 3, "BatchNorm1d"], [12, "BatchNorm1d", 3]),
        (
            VIT,
            [30, "BatchNorm1d", 30, "BatchNorm1d", 3, "BatchNorm1d"],
            [30, "BatchNorm1d", 3, "BatchNorm1d"],
        ),
    ):
        method = make(Rows(dim=6), dim=3, **params)
        assert layers(method.projector) == projector
        assert layers(method.predictor) == predictor
        for head in (method.projector, method.predictor):
            assert all(m.bias is None for m in head if isinstance(m, nn.Linear))
            *inner, last = [m.affine for m in head if isinstance(m, nn.BatchNorm1d)]
            assert all(inner)
            assert last == (head[-1] is not method.projector[-1] and not params)


def test_the_variant_for_vision_transformers_trains_one():
    options = {"img_size": 16, "patch_size": 8, "embed_dim": 8, "depth": 1, "num_heads": 2}
    encoder = Encoder(EncoderConfig(name="vit_tiny_patch16_224", options=options))
    method = make(encoder, **VIT)
    (term,) = method.loss(image_batch(), at()).values()
    term.backward()
    assert term.isfinite()
    assert all(p.grad is not None for p in method.parameters() if p.requires_grad)


@pytest.mark.parametrize("temperature", [0.01, 1.0, 10.0])
def test_bfloat16_embeddings_give_the_loss_within_a_bound_in_float32(temperature):
    given = rows_batch(64, dtype=torch.float32)
    losses = []
    for dtype in (torch.float32, torch.bfloat16):
        method = bare(temperature, torch.float32)
        method.encoder.layer = method.projector = method.predictor = nn.Identity()
        method.key_encoder = MomentumCopy(method.encoder, nn.Identity())
        method.key_encoder.update = lambda *modules, momentum: None
        views = tuple(view.to(dtype) for view in given.views)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            losses += method.loss(Batch(views, given.index), at()).values()
    assert losses[1].dtype == torch.float32
    # Rounding both rows moves a cosine by up to 2^-7, the difference of two logits by 2^-6 over the
    # temperature, and that times twice the temperature in two directions by 2^-4.
    assert losses[1].item() == pytest.approx(losses[0].item(), abs=2**-4)


def test_state_survives_a_checkpoint():
    method, other = make(), make(seed=1)
    method.loss(image_batch(), at())
    other.load_state_dict(method.state_dict())
    (one,), (two,) = (m.loss(image_batch(), at()).values() for m in (method, other))
    assert one.item() == two.item()


def test_a_batch_of_one_and_numbers_out_of_range_are_refused():
    cls = methods.get("moco_v3")
    with pytest.raises(ConfigError, match=r"batch_size = 1.*at least 2"):
        cls.scaled(cls.Config(), DataInfo(64, 1, 16, 10, 64))
    for params in (
        {"temperature": 0.0},
        {"momentum": 1.0},
        {"momentum": -0.1},
        {"momentum": "auto"},
        {"projector_layers": 0},
        {"hidden_width": 0},
    ):
        with pytest.raises(ConfigError, match=next(iter(params))):
            build(cls.Config, params, "moco_v3")
