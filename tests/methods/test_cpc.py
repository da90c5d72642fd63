"""CPC: its loss, what a context may see, its four directions, and what planning refuses."""

import math
import sys

import pytest
import torch

from sslbench.api import Batch, DataInfo, methods
from sslbench.config import build
from sslbench.errors import ConfigError
from sslbench.nn import Encoder, EncoderConfig
from sslbench.plan import Environs, plan
from sslbench.suite import load_suite

CPC = methods.get("cpc")
PLUGIN = sys.modules[CPC.__module__]
sampled_info_nce, ContextNetwork = PLUGIN.sampled_info_nce, PLUGIN.ContextNetwork

DATA = DataInfo(images=48, batch_size=4, image_size=32, epochs=10, steps_per_epoch=12)
SMALL = EncoderConfig(
    name="resnet18",
    stem="small",
    options={"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8]},
    norm="group",
)
ALL = ("down", "up", "right", "left")


class Draws:
    """Integers from one generator; keeps what was asked for."""

    def __init__(self, seed=7):
        self.generator = torch.Generator().manual_seed(seed)
        self.asked = []

    def integers(self, high, rows, *shape):
        self.asked.append((high, rows, *shape))
        return torch.randint(high, (rows, *shape), generator=self.generator)


def scaled(data=DATA, **params):
    return CPC.scaled(build(CPC.Config, {"dim": 16, **params}, "cpc"), data)


def make(seed=0, **params):
    torch.manual_seed(seed)
    return CPC(Encoder(SMALL), scaled(**params), DATA)


def batch(grid=7, images=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    patches = torch.rand(images, grid**2, 3, 8, 8, generator=generator)
    return Batch((patches,), torch.arange(images))


def pairs(count=6, dim=5, scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    query, target = torch.randn(2, count, dim, generator=generator, dtype=torch.float64) * scale
    drawn = torch.randint(count, (count, 4), generator=generator)
    return query, target, drawn


def dot(one, other):
    return sum(float(x) * float(y) for x, y in zip(one, other, strict=True))


# ---- the loss -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_sampled_info_nce_equals_a_double_loop(scale):
    query, target, drawn = pairs(scale=scale)
    total = 0.0
    for row, own in enumerate(query):
        logits = [dot(own, target[row])] + [dot(own, target[c]) for c in drawn[row]]
        largest = max(logits)
        total += largest + math.log(sum(math.exp(x - largest) for x in logits)) - logits[0]
    found = sampled_info_nce(query, target, drawn)
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(total / 6, rel=1e-12)


def test_the_gradient_of_sampled_info_nce_is_that_of_finite_differences():
    query, target, drawn = pairs()
    drawn[0] = torch.tensor([0, 0, 3, 3])  # itself and another, each drawn twice
    given = query.requires_grad_(), target.requires_grad_()
    assert torch.autograd.gradcheck(lambda q, t: sampled_info_nce(q, t, drawn), given)


def test_one_negative_is_the_logistic_loss_of_the_difference_and_none_is_refused():
    query, target, drawn = pairs()
    difference = (query * target[drawn[:, 0]]).sum(1) - (query * target).sum(1)
    expected = torch.nn.functional.softplus(difference).mean()
    torch.testing.assert_close(sampled_info_nce(query, target, drawn[:, :1]), expected)
    with pytest.raises(ConfigError, match="without negatives"):
        sampled_info_nce(query, target, drawn[:, :0])


def test_targets_that_are_all_alike_cost_what_chance_costs():
    query, target, drawn = pairs()
    alike = target[:1].expand(6, -1)
    assert sampled_info_nce(query, alike, drawn).item() == pytest.approx(math.log(5), rel=1e-12)


@pytest.mark.parametrize("scale", [0.1, 1.0, 100.0])
def test_sampled_info_nce_takes_bfloat16_and_computes_in_float32(scale):
    query, target, drawn = pairs(64, 32, scale)
    query, target = query.bfloat16(), target.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = sampled_info_nce(query, target, drawn)
    assert found.dtype == torch.float32
    exact = sampled_info_nce(query.double(), target.double(), drawn).item()
    assert found.item() == pytest.approx(exact, rel=1e-5)


def test_every_step_draws_from_all_its_targets_of_the_batch():
    context = Draws()
    make(negatives=3).loss(batch(), context)
    rows = [4 * height * 7 for height in (5, 4, 3, 2, 1)]
    assert context.asked == [(count, count, 3) for count in rows]


def test_a_context_is_scored_with_the_rows_below_it_and_steps_count_alike():
    """By loops over images, rows and columns, with draws taken one by one."""
    method = make(steps=2, negatives=2, grid=5).double()
    generator = torch.Generator().manual_seed(3)
    latents, contexts = torch.randn(2, 3, 16, 5, 5, generator=generator, dtype=torch.float64)
    predictors = method.predictors["down"]
    found = method.predictive_loss(latents, contexts, predictors, Draws())
    draws, steps = Draws(), []
    for distance, predictor in zip((2, 3), predictors, strict=True):
        weight = predictor.weight.detach()[:, :, 0, 0]
        places = [(n, r, c) for n in range(3) for r in range(5 - distance) for c in range(5)]
        drawn = draws.integers(len(places), len(places), 2)
        total = 0.0
        for (n, r, c), others in zip(places, drawn.tolist(), strict=True):
            compared = [(n, r, c)] + [places[other] for other in others]
            scores = [
                math.exp(dot(contexts[n, :, r, c], weight @ latents[m, :, q + distance, d]))
                for m, q, d in compared
            ]
            total -= math.log(scores[0] / sum(scores))
        steps.append(total / len(places))
    assert found.item() == pytest.approx(sum(steps) / 2, rel=1e-9)


# ---- what a context may see ---------------------------------------------------------------------


@pytest.mark.parametrize("changed", range(7))
def test_a_context_sees_its_row_and_those_above_and_none_below(changed):
    torch.manual_seed(0)
    network = ContextNetwork(8, 7).double()
    latents = torch.randn(2, 8, 7, 7, dtype=torch.float64)
    other = latents.clone()
    other[:, :, changed, 3] += 1
    moved = (network(other) - network(latents)).abs().amax((0, 1, 3)) > 0
    assert moved.tolist() == [row >= changed for row in range(7)]


def test_patches_of_a_row_see_each_other_on_both_sides():
    torch.manual_seed(0)
    network = ContextNetwork(8, 2).double()
    latents = torch.randn(1, 8, 3, 7, dtype=torch.float64)
    other = latents.clone()
    other[:, :, 1, 3] += 1
    moved = (network(other) - network(latents)).abs().amax((0, 1)) > 0
    assert moved[1].tolist() == [1 <= column <= 5 for column in range(7)]


def test_no_loss_reaches_back_from_what_is_predicted_into_its_context():
    """A change in the last rows changes targets, not the contexts that are compared with them."""
    method = make()
    seen = []
    method.context_networks["down"].register_forward_hook(
        lambda module, given, output: seen.append((given[0].detach(), output.detach()))
    )
    one, other = batch(), batch()
    other.views[0][:, 5 * 7 :] = 0.5
    for given in (one, other):
        method.loss(given, Draws())
    (first, contexts), (second, same) = seen
    assert first.shape[2:] == (5, 7)
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(contexts, same)


# ---- patches and directions ---------------------------------------------------------------------


def test_patches_are_the_rows_of_the_grid_one_after_the_other():
    method, given = make().eval(), batch()
    latents = method._latents(given.views[0])
    assert latents.shape == (4, 16, 7, 7)
    for row, column in ((0, 0), (2, 5), (6, 1)):
        alone = method.head(method.encoder(given.views[0][:, row * 7 + column]))
        torch.testing.assert_close(latents[:, :, row, column], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("direction", ALL)
def test_a_direction_is_down_on_an_image_that_is_turned(direction):
    down, turned = make(), make(directions=[direction])
    for parts in ("context_networks", "predictors"):
        state = getattr(down, parts)["down"].state_dict()
        getattr(turned, parts)[direction].load_state_dict(state)
    patches = batch().views[0].unflatten(1, (7, 7))  # N x rows x columns of patches
    as_down = {
        "down": patches,
        "up": patches.flip(1),  # the bottom row first
        "right": patches.transpose(1, 2),  # the leftmost column first
        "left": patches.flip(2).transpose(1, 2),  # the rightmost column first
    }[direction]
    expected = down.loss(Batch((as_down.flatten(1, 2),), torch.arange(4)), Draws())["down"]
    found = turned.loss(batch(), Draws())[direction]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_four_directions_have_networks_of_their_own_and_the_loss_is_their_mean():
    method = make(directions=list(ALL))
    found = method.loss(batch(), Draws())
    assert tuple(found) == ALL
    sum(found.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.parameters())
    one = make()
    for parts in ("context_networks", "predictors"):
        getattr(one, parts).load_state_dict(
            {k: v for k, v in getattr(method, parts).state_dict().items() if k.startswith("down")}
        )
    for part in ("head", "encoder"):
        getattr(one, part).load_state_dict(getattr(method, part).state_dict())
    alone = one.loss(batch(), Draws())["down"].item()
    assert found["down"].item() == pytest.approx(alone / 4, rel=1e-5)


def test_under_bfloat16_the_loss_stays_near_that_in_float32():
    expected = make().loss(batch(), Draws())["down"].item()
    with torch.autocast("cpu", torch.bfloat16):
        found = make().loss(batch(), Draws())["down"]
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected, rel=0.05)  # 8 bits, through a whole encoder


def test_state_survives_a_checkpoint():
    method, other = make(), make(seed=1)
    other.load_state_dict(method.state_dict())
    assert other.loss(batch(), Draws())["down"] == method.loss(batch(), Draws())["down"]


# ---- planning -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "size", "message"),
    [
        ({"steps": 6}, 32, "Nearest that works: 5, or grid: 8 in params and pretrain.views"),
        ({"grid": 5}, 32, "Nearest that works: 3, or grid: 7"),
        ({}, 12, "leaves patches of 2 pixels, fewer than 4. Nearest that works: image_size 16"),
        ({"grid": 15}, 24, "image_size 32"),
        ({"steps": 0}, 32, "steps"),
        ({"negatives": 0}, 32, "negatives"),
        ({"directions": []}, 32, "directions"),
        ({"directions": ["down", "down"]}, 32, "names one twice"),
        ({"directions": ["inwards"]}, 32, "directions"),
    ],
)
def test_planning_refuses_what_cannot_work_and_names_what_does(params, size, message):
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        scaled(DataInfo(48, 4, size, 10, 12), **params)


def test_what_a_refusal_names_does_work():
    assert scaled(steps=6, grid=8).steps == 6
    assert scaled(grid=5, steps=3).grid == 5
    scaled(DataInfo(48, 4, 16, 10, 12))
    found = make(grid=3, steps=1).loss(batch(grid=3), Draws())
    assert found["down"].isfinite()


def test_a_grid_that_is_not_that_of_the_views_is_refused():
    with pytest.raises(ConfigError, match="views gives 25: let both"):
        make().loss(batch(grid=5), Draws())


def test_cpc_is_planned_with_group_norm_and_a_grid_whatever_the_suites():
    environs = Environs(bf16=False, count=lambda spec: 48)
    for label, directions in (("cpc", ["down"]), ("cpc@v2", list(ALL))):
        row = plan(load_suite("smoke"), [label], [0], {}, environs)[0]
        assert row.config.encoder.norm == "group"
        assert [(view.patches, view.grid) for view in row.config.pretrain.views] == [("grid", 7)]
        assert row.config.params["directions"] == directions
        assert "encoder.norm = group" in row.notes
