"""PIRL on a small real encoder: branches, draws, the jigsaw's head, and what planning refuses."""

import math

import pytest
import torch

from sslbench.api import Batch, DataInfo, Needs, methods
from sslbench.config import build
from sslbench.errors import ConfigError
from sslbench.nn import Encoder, unit
from tests.methods.small import IMAGENET, SMALL, Draws

DATA = DataInfo(images=48, batch_size=8, image_size=16, epochs=10, steps_per_epoch=6)
INDEX = torch.arange(0, 48, 6)


def scaled(data=DATA, **params):
    cls = methods.get("pirl")
    return cls.scaled(build(cls.Config, {"dim": 16, **params}, "pirl"), data)


def make(seed=0, **params):
    torch.manual_seed(seed)
    return methods.get("pirl")(Encoder(SMALL), scaled(**params), DATA).double()


def batch(seed=0, transform="jigsaw", patches=9):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(8, 3, 16, 16, generator=generator, dtype=torch.float64)
    if transform == "view":
        return Batch((image, image.flip(3)), INDEX)
    shape = (8, patches, 3, 6, 6)
    return Batch((image, torch.rand(shape, generator=generator, dtype=torch.float64)), INDEX)


def embeddings(method, views):
    """The transform's and the image's, as of a method that has not stepped: N x D unit rows."""
    image, transformed = views
    if method.config.transform == "view":
        other = method.head(method.encoder(transformed))
    else:
        patches = [
            method.patch_head(method.encoder(transformed.flatten(0, 1))).view(8, 9, -1)[:, place]
            for place in range(9)
        ]
        other = method.jigsaw_head(torch.cat(patches, 1))
    return unit(other).detach(), unit(method.head(method.encoder(image))).detach()


def loop(query, bank, draws, loss, normaliser, temperature=0.07):
    """One branch's loss, its normaliser, by loops over rows and columns."""
    scores = [
        [math.exp(float(q @ bank[c]) / temperature) for c in (own, *drawn)]
        for q, own, drawn in zip(query, INDEX.tolist(), draws, strict=True)
    ]
    if normaliser is None:
        normaliser = 48 * sum(map(sum, scores)) / (8 * len(scores[0]))
    noise, total = draws.shape[1] / 48, 0.0
    for own, *others in scores:
        if loss == "info_nce":
            total -= math.log(own / (own + sum(others)))
            continue
        total -= math.log(own / normaliser / (own / normaliser + noise + 2**-23))
        total -= sum(math.log(noise / (s / normaliser + noise + 2**-23)) for s in others)
    return total / 8, normaliser


@pytest.mark.parametrize("loss", ["nce", "info_nce"])
@pytest.mark.parametrize("transform", ["jigsaw", "view"])
@pytest.mark.parametrize("negatives", [1, 20])
@pytest.mark.parametrize("estimate", ["first", "every"])
def test_each_term_is_that_of_a_double_loop_times_its_weight(loss, transform, negatives, estimate):
    method = make(
        loss=loss, transform=transform, negatives=negatives, weight=0.3, normaliser=estimate
    )
    context, bank = Draws(), method.bank.features.clone()
    views = batch(transform=transform)
    transformed, image = embeddings(method, views.views)
    found = method.loss(views, context)
    of_transform, of_image = context.given
    first, normaliser = loop(transformed, bank, of_transform, loss, None)
    # A constant Z is that of the transform's branch, which comes first.
    second, _ = loop(image, bank, of_image, loss, normaliser if estimate == "first" else None)
    assert set(found) == {transform, "image"}
    assert found[transform].item() == pytest.approx(0.3 * first, rel=1e-9)
    assert found["image"].item() == pytest.approx(0.7 * second, rel=1e-9)


def test_a_shared_draw_serves_both_branches():
    alone, shared = Draws(), Draws()
    one = make().loss(batch(), alone)
    two = make(shared_draw=True).loss(batch(), shared)
    assert len(alone.given) == 2
    assert len(shared.given) == 1
    assert one["jigsaw"].item() == two["jigsaw"].item()
    assert one["image"].item() != two["image"].item()


def test_only_the_images_embedding_enters_the_bank_half_way():
    for transform in ("jigsaw", "view"):
        method, views = make(transform=transform), batch(transform=transform)
        before = method.bank.features.clone()
        image = embeddings(method, views.views)[1]
        method.loss(views, Draws())
        expected = before.clone()
        expected[INDEX] = unit((before[INDEX] + image) / 2)
        torch.testing.assert_close(method.bank.features, expected)


def test_the_order_of_patches_matters_and_their_images_do_not_mix():
    method = make()
    patches = batch().views[1]
    straight = method._transformed(patches)
    turned = method._transformed(patches[:, torch.arange(8, -1, -1)])
    assert not torch.allclose(straight, turned)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(method._transformed(patches[order]), straight[order])


def test_the_encoder_runs_once_over_all_patches():
    method, sizes = make(), []
    method.encoder.register_forward_hook(lambda module, given, out: sizes.append(len(out)))
    method.loss(batch(), Draws())
    assert sizes == [72, 8]


def test_every_parameter_takes_a_gradient_and_a_view_has_no_jigsaw_head():
    for transform in ("jigsaw", "view"):
        method = make(transform=transform)
        sum(method.loss(batch(transform=transform), Draws()).values()).backward()
        assert all(p.grad is not None for p in method.parameters())
        assert hasattr(method, "jigsaw_head") == (transform == "jigsaw")


@pytest.mark.parametrize("loss", ["nce", "info_nce"])
@pytest.mark.parametrize("temperature", [0.01, 10.0])
def test_extreme_temperatures_and_bfloat16_give_finite_steps_near_the_exact_ones(loss, temperature):
    exact = make(loss=loss, temperature=temperature).loss(batch(), Draws())
    method = make(loss=loss, temperature=temperature).float()
    views = Batch(tuple(view.float() for view in batch().views), INDEX)
    with torch.autocast("cpu", torch.bfloat16):
        found = method.loss(views, Draws())
    sum(found.values()).backward()
    assert all(p.grad.isfinite().all() for p in method.parameters())
    for name, term in found.items():
        assert term.dtype == torch.float32
        # A similarity moves by up to about 0.01 through an encoder in bfloat16.
        assert term.item() == pytest.approx(exact[name].item(), rel=0.05, abs=0.05 / temperature)


def test_equal_images_give_finite_losses():
    image, patches = batch().views
    views = image[:1].expand(8, -1, -1, -1), patches[:1, :1].expand(8, 9, -1, -1, -1)
    found = make().loss(Batch(views, INDEX), Draws())
    sum(found.values()).backward()
    assert all(term.isfinite() for term in found.values())


@pytest.mark.parametrize("estimate", ["first", "every"])
def test_state_survives_a_checkpoint(estimate):
    method, other = (make(seed, normaliser=estimate) for seed in (0, 1))
    method.loss(batch(), Draws())
    other.load_state_dict(method.state_dict())
    one, two = (m.loss(batch(1), Draws()) for m in (method, other))
    assert {k: v.item() for k, v in one.items()} == {k: v.item() for k, v in two.items()}


def test_another_number_of_patches_than_the_grids_is_refused():
    with pytest.raises(ConfigError, match=r"grid = 3 stands for 9 patches, .* gives 4"):
        make().loss(batch(patches=4), Draws())
    make(grid=2).loss(batch(patches=4), Draws())


def test_the_transform_decides_what_views_are_needed():
    cls = methods.get("pirl")
    assert cls.needs_of(scaled()) == Needs(views=1, patches="jigsaw", grid=3)
    assert cls.needs_of(scaled(transform="view")) == Needs(views=2)


def test_at_imagenets_size_the_rules_give_what_the_authors_chose():
    assert scaled(IMAGENET).negatives == 32_000
    assert scaled(IMAGENET).normaliser == "first"
    assert scaled().negatives == 24
    assert scaled().normaliser == "every"
    once = scaled(negatives=30)
    assert scaled(**once.hashed()) == once


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"negatives": 49}, "negatives = 49 .*largest that works is 48.* gives 24"),
        ({"negatives": 0}, "negatives"),
        ({"weight": 1.1}, "weight"),
        ({"temperature": 0.0}, "temperature"),
        ({"bank_momentum": -0.1}, "bank_momentum"),
        ({"grid": 1}, "grid"),
    ],
)
def test_planning_refuses_what_cannot_work(params, message):
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        scaled(**params)
