"""VICReg: its terms against loops, where they could break, and the method around them."""

import pytest
import torch

from sslbench.api import Batch, DataInfo
from sslbench.config import build
from sslbench.errors import ConfigError
from sslbench.methods.vicreg import VICReg, vicreg_terms
from sslbench.nn import Encoder
from sslbench.registry import METHODS
from tests.methods.small import DATA, SMALL


def embeddings(count=7, dim=5, seed=0, scale=0.8):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(count, dim, generator=generator, dtype=torch.float64) + 1


def centred(column):
    return [x - sum(column) / len(column) for x in column]


def looped(one, other):
    """The three terms by loops over single numbers."""
    count, dim = one.shape
    pairs = zip(one.flatten().tolist(), other.flatten().tolist(), strict=True)
    invariance = sum((x - y) ** 2 for x, y in pairs) / (count * dim)
    variance = covariance = 0.0
    for view in (one, other):
        columns = [centred(column) for column in view.T.tolist()]
        for i, first in enumerate(columns):
            spread = (sum(x * x for x in first) / (count - 1) + 1e-4) ** 0.5
            variance += max(0.0, 1 - spread) / dim / 2
            for j, second in enumerate(columns):
                if i != j:
                    c = sum(x * y for x, y in zip(first, second, strict=True)) / (count - 1)
                    covariance += c**2 / dim
    return invariance, variance, covariance


@pytest.mark.parametrize("scale", [1e-3, 0.8, 1e3])
def test_the_terms_equal_a_double_loop_in_float64(scale):
    one, other = embeddings(scale=scale), embeddings(seed=1, scale=scale)
    found = vicreg_terms(one, other)
    assert [float(term) for term in found] == pytest.approx(looped(one, other), rel=1e-10)
    assert all(term.dtype == torch.float64 for term in found)


def test_the_gradient_is_that_of_finite_differences():
    views = embeddings(4, 3).requires_grad_(), embeddings(4, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda *given: sum(vicreg_terms(*given)), views)


def test_float32_and_bfloat16_cost_no_more_than_the_rounding_of_the_inputs():
    one = embeddings(64, 32)
    other = one + 0.3 * embeddings(64, 32, seed=1)  # views that agree
    exact = [float(term) for term in vicreg_terms(one, other)]
    single = [float(term) for term in vicreg_terms(one.float(), other.float())]
    assert single == pytest.approx(exact, rel=1e-5)
    rounded = [t.bfloat16().requires_grad_() for t in (one, other)]
    with torch.autocast("cpu", torch.bfloat16):
        terms = vicreg_terms(*rounded)
    for term, expected in zip(terms, vicreg_terms(*(t.float() for t in rounded)), strict=True):
        assert term.dtype == torch.float32
        assert torch.equal(term, expected)
    # Inputs move by 2^-8 of themselves at most, and those moves average out over the batch.
    assert [term.item() for term in terms] == pytest.approx(exact, rel=2**-8)
    sum(terms).backward()
    assert all(t.grad.isfinite().all() for t in rounded)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("value", [0.0, 1.0, 100.0])
def test_constant_embeddings_lack_all_deviation_and_give_no_nan(dtype, value):
    views = [torch.full((8, 5), value, dtype=dtype).requires_grad_() for _ in range(2)]
    invariance, variance, covariance = vicreg_terms(*views)
    (invariance + variance + covariance).backward()
    assert variance.item() == pytest.approx(0.99)  # 1 less the root of 1e-4
    assert invariance.item() == covariance.item() == 0
    assert all(view.grad.isfinite().all() for view in views)


def test_nearly_constant_embeddings_are_driven_apart():
    one, other = (embeddings(scale=1e-3, seed=seed).requires_grad_() for seed in range(2))
    vicreg_terms(one, other)[1].backward()
    moved = one.detach() - one.grad
    assert (moved.var(0) > one.detach().var(0)).all()


def test_deviations_above_one_cost_nothing():
    assert vicreg_terms(embeddings(scale=9.0), embeddings(scale=9.0, seed=1))[1] == 0


def test_one_dimension_has_no_covariance():
    one, other = embeddings(dim=1), embeddings(dim=1, seed=1)
    found = [float(term) for term in vicreg_terms(one, other)]
    assert found[2] == 0
    assert found == pytest.approx(looped(one, other), rel=1e-10)


def test_of_two_images_the_terms_are_still_those_of_the_formula():
    one, other = embeddings(2), embeddings(2, seed=1)
    found = [float(term) for term in vicreg_terms(one, other)]
    assert found == pytest.approx(looped(one, other), rel=1e-10)


@pytest.mark.parametrize("count", [0, 1])
def test_of_fewer_than_two_images_there_is_no_variance(count):
    with pytest.raises(ConfigError, match=f"of {count} images.*at least 2"):
        vicreg_terms(embeddings(count), embeddings(count))


def test_with_copies_of_every_row_the_terms_are_still_those_of_the_formula():
    one, other = embeddings().repeat(2, 1), embeddings(seed=1).repeat(2, 1)
    found = [float(term) for term in vicreg_terms(one, other)]
    assert found == pytest.approx(looped(one, other), rel=1e-10)
    assert found[0] == pytest.approx(looped(one[:7], other[:7])[0], rel=1e-10)


def test_equal_views_of_wide_uncorrelated_dimensions_cost_nothing():
    signs = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    assert [term.item() for term in vicreg_terms(2 * signs, 2 * signs)] == [0, 0, 0]


def make(**params):
    torch.manual_seed(0)
    config = build(VICReg.Config, params, "vicreg")
    return VICReg(Encoder(SMALL), VICReg.scaled(config, DATA), DATA)


def batch(count=16):
    images = torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return Batch((images, images.flip(3)), torch.arange(count))


def test_a_step_gives_three_terms_and_every_parameter_a_gradient():
    vicreg = make()
    terms = vicreg.loss(batch(), None)
    assert set(terms) == {"invariance", "variance", "covariance"}
    sum(terms.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in vicreg.parameters())


@pytest.mark.parametrize("name", ["invariance", "variance", "covariance"])
def test_each_weight_scales_its_term_alone(name):
    plain = make().loss(batch(), None)
    changed = make(**{name: 3 * getattr(VICReg.Config(), name)}).loss(batch(), None)
    for term in plain:
        factor = 3 if term == name else 1
        torch.testing.assert_close(changed[term], factor * plain[term])


def test_the_papers_variance_is_twice_the_codes():
    params = METHODS.defaults("vicreg")["variants"]["paper-variance"]["params"]
    assert params == {"variance": 2 * VICReg.Config().variance}


def test_the_projector_is_the_authors_at_a_resnet_50():
    linear = [m for m in make().projector if isinstance(m, torch.nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [(8, 32), (32, 32), (32, 32)]
    assert all(m.bias is None for m in linear)
    assert VICReg.Config().width * 2048 == 8192


@pytest.mark.parametrize(
    "params", [{"width": 0}, {"invariance": -1.0}, {"variance": -1.0}, {"covariance": -1.0}]
)
def test_numbers_out_of_range_are_refused(params):
    with pytest.raises(ConfigError, match=next(iter(params))):
        make(**params)


def test_a_batch_of_one_is_refused_while_planning():
    alone = DataInfo(images=64, batch_size=1, image_size=16, epochs=10, steps_per_epoch=64)
    with pytest.raises(ConfigError, match=r"batch_size = 1: .*at least 2"):
        VICReg.scaled(VICReg.Config(), alone)
