"""Barlow Twins: its terms against loops, where they could break, and the method around them."""

import pytest
import torch

from sslbench.api import Batch, DataInfo
from sslbench.config import build
from sslbench.errors import ConfigError
from sslbench.methods.barlow_twins import BarlowTwins, barlow_terms
from sslbench.nn import Encoder
from tests.methods.small import DATA, SMALL


def embeddings(count=7, dim=5, seed=0, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(count, dim, generator=generator, dtype=torch.float64) + 1


def standardised(column):
    mean = sum(column) / len(column)
    variance = sum((x - mean) ** 2 for x in column) / len(column)
    return [(x - mean) / (variance + 1e-5) ** 0.5 for x in column]


def looped(one, other):
    """The two terms by loops over single numbers."""
    columns = [[standardised(c) for c in view.T.tolist()] for view in (one, other)]
    invariance = redundancy = 0.0
    for i, first in enumerate(columns[0]):
        for j, second in enumerate(columns[1]):
            c = sum(x * y for x, y in zip(first, second, strict=True)) / len(one)
            if i == j:
                invariance += (1 - c) ** 2
            else:
                redundancy += c**2
    return invariance, redundancy


@pytest.mark.parametrize("scale", [1e-3, 3.0, 1e3])
def test_the_terms_equal_a_double_loop_in_float64(scale):
    one, other = embeddings(scale=scale), embeddings(seed=1, scale=scale)
    found = barlow_terms(one, other)
    assert [float(term) for term in found] == pytest.approx(looped(one, other), rel=1e-10)
    assert all(term.dtype == torch.float64 for term in found)


def test_the_gradient_is_that_of_finite_differences():
    views = embeddings(4, 3).requires_grad_(), embeddings(4, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda *given: sum(barlow_terms(*given)), views)


def test_float32_and_bfloat16_cost_no_more_than_the_rounding_of_the_inputs():
    one, other = embeddings(64, 32), embeddings(64, 32, seed=1)
    other = one + 0.3 * other  # views that agree
    exact = [float(term) for term in barlow_terms(one, other)]
    single = [float(term) for term in barlow_terms(one.float(), other.float())]
    assert single == pytest.approx(exact, rel=1e-5)
    rounded = [t.bfloat16().requires_grad_() for t in (one, other)]
    with torch.autocast("cpu", torch.bfloat16):
        terms = barlow_terms(*rounded)
    for term, expected in zip(terms, barlow_terms(*(t.float() for t in rounded)), strict=True):
        assert term.dtype == torch.float32
        assert torch.equal(term, expected)
    # Inputs move by 2^-8 of themselves at most, and those moves average out over the batch.
    assert [term.item() for term in terms] == pytest.approx(exact, rel=2**-8)
    sum(terms).backward()
    assert all(t.grad.isfinite().all() for t in rounded)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("value", [0.0, 1.0, 100.0])
def test_constant_embeddings_correlate_with_nothing_and_give_no_nan(dtype, value):
    views = [torch.full((8, 5), value, dtype=dtype).requires_grad_() for _ in range(2)]
    invariance, redundancy = barlow_terms(*views)
    (invariance + redundancy).backward()
    assert invariance.item() == pytest.approx(5, abs=1e-4)
    assert redundancy.item() == pytest.approx(0, abs=1e-6)
    assert all(view.grad.isfinite().all() for view in views)


def test_one_dimension_has_no_redundancy():
    invariance, redundancy = barlow_terms(embeddings(dim=1), embeddings(dim=1, seed=1))
    assert redundancy == 0
    assert float(invariance) == pytest.approx(
        looped(embeddings(dim=1), embeddings(dim=1, seed=1))[0], rel=1e-10
    )


def test_of_two_images_every_correlation_is_one_or_minus_one():
    one = torch.tensor([[0.0, 5.0, 1.0], [90.0, -5.0, 7.0]], dtype=torch.float64)
    invariance, redundancy = barlow_terms(one, one)
    assert float(invariance) == pytest.approx(0, abs=1e-10)
    assert float(redundancy) == pytest.approx(6, abs=1e-5)
    invariance, _ = barlow_terms(one, -one)
    assert float(invariance) == pytest.approx(12, abs=1e-5)


@pytest.mark.parametrize("count", [0, 1])
def test_of_fewer_than_two_images_there_is_no_correlation(count):
    with pytest.raises(ConfigError, match=f"of {count} images.*at least 2"):
        barlow_terms(embeddings(count), embeddings(count))


def test_copies_of_every_row_change_nothing():
    one, other = embeddings(), embeddings(seed=1)
    once, twice = barlow_terms(one, other), barlow_terms(one.repeat(2, 1), other.repeat(2, 1))
    for term, same in zip(once, twice, strict=True):
        torch.testing.assert_close(term, same)


def test_equal_views_of_uncorrelated_dimensions_cost_nothing():
    signs = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    for term in barlow_terms(100 * signs, 100 * signs):
        assert term.item() == pytest.approx(0, abs=1e-8)


def make(**params):
    torch.manual_seed(0)
    config = build(BarlowTwins.Config, params, "barlow_twins")
    return BarlowTwins(Encoder(SMALL), BarlowTwins.scaled(config, DATA), DATA)


def batch(count=16):
    images = torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return Batch((images, images.flip(3)), torch.arange(count))


def test_a_step_gives_two_terms_and_every_parameter_a_gradient():
    twins = make()
    terms = twins.loss(batch(), None)
    assert set(terms) == {"invariance", "redundancy"}
    sum(terms.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in twins.parameters())


def test_the_weight_scales_the_redundancy_term_alone():
    light, heavy = (make(redundancy=weight).loss(batch(), None) for weight in (0.01, 0.02))
    assert heavy["invariance"] == light["invariance"]
    torch.testing.assert_close(heavy["redundancy"], 2 * light["redundancy"])


def test_the_projector_is_the_authors_at_a_resnet_50():
    linear = [m for m in make().projector if isinstance(m, torch.nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [(8, 32), (32, 32), (32, 32)]
    assert all(m.bias is None for m in linear)
    assert BarlowTwins.Config().width * 2048 == 8192


def test_biases_and_norms_have_their_own_rate_and_every_parameter_has_one():
    twins = make()
    weights, biases = twins.param_groups()
    assert weights.lr_scale == 1
    assert 0.2 * biases.lr_scale == pytest.approx(0.0048)
    assert all(p.ndim > 1 for p in weights.params)
    assert all(p.ndim == 1 for p in biases.params)
    assert len(weights.params) + len(biases.params) == len(list(twins.parameters()))


@pytest.mark.parametrize("params", [{"width": 0}, {"redundancy": -1.0}])
def test_numbers_out_of_range_are_refused(params):
    with pytest.raises(ConfigError, match=next(iter(params))):
        make(**params)


def test_a_batch_of_one_is_refused_while_planning():
    alone = DataInfo(images=64, batch_size=1, image_size=16, epochs=10, steps_per_epoch=64)
    with pytest.raises(ConfigError, match=r"batch_size = 1: .*at least 2"):
        BarlowTwins.scaled(BarlowTwins.Config(), alone)
