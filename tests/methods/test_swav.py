"""SwAV: its loss against a loop, its prototypes and queues, what planning gives and refuses."""

import math
from types import SimpleNamespace

import pytest
import torch

from sslbench.api import Batch, DataInfo, methods
from sslbench.config import build
from sslbench.errors import ConfigError
from sslbench.methods.swav import swapped_prediction
from sslbench.nn import Encoder, sinkhorn_knopp
from sslbench.registry import METHODS
from tests.methods.small import DATA, IMAGENET, SMALL, image_batch


def scaled(data=DATA, **params):
    cls = methods.get("swav")
    return cls.scaled(build(cls.Config, params, "swav"), data)


def make(data=DATA, **params):
    torch.manual_seed(0)
    config = scaled(data, **{"dim": 16, "prototypes": 6, **params})
    return methods.get("swav")(Encoder(SMALL), config, data)


def at(epoch=5, step=20):
    return SimpleNamespace(epoch=epoch, step=step)


def cosines(views, count, prototypes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(views, count, prototypes, generator=generator, dtype=torch.float64)
    return list(2 * drawn - 1)


def loop(scores, assignments, temperature):
    """Equations 1 and 2, entry by entry."""
    total = 0.0
    for assigned, assignment in enumerate(assignments):
        others = [view for view in range(len(scores)) if view != assigned]
        for view in others:
            for row, target in zip(scores[view], assignment, strict=True):
                exponents = [float(s) / temperature for s in row]
                largest = max(exponents)
                partition = sum(math.exp(e - largest) for e in exponents)
                for exponent, share in zip(exponents, target, strict=True):
                    log = exponent - largest - math.log(partition)
                    total -= float(share) * log / len(others) / len(scores[0])
    return total / len(assignments)


@pytest.mark.parametrize("temperature", [0.01, 0.1, 10.0])
@pytest.mark.parametrize("views", [2, 5])
@pytest.mark.parametrize("prototypes", [2, 7])  # 2: a single negative
def test_the_loss_equals_a_loop(prototypes, views, temperature):
    scores = cosines(views, 4, prototypes)
    assignments = [sinkhorn_knopp(rows, 0.05) for rows in scores[:2]]
    found = swapped_prediction(scores, assignments, temperature)
    assert found.dtype == torch.float64
    assert float(found) == pytest.approx(loop(scores, assignments, temperature), rel=1e-9)


def test_the_gradient_is_that_of_finite_differences():
    scores = [rows.requires_grad_() for rows in cosines(3, 3, 4)]
    assignments = [sinkhorn_knopp(rows, 0.05) for rows in scores[:2]]
    assert torch.autograd.gradcheck(lambda *s: swapped_prediction(s, assignments, 0.5), scores)


def test_bfloat16_scores_give_a_float32_loss_nearby():
    scores = [rows.float() for rows in cosines(4, 16, 7)]
    assignments = [sinkhorn_knopp(rows, 0.05) for rows in scores[:2]]
    with torch.autocast("cpu", torch.bfloat16):
        found = swapped_prediction([rows.bfloat16() for rows in scores], assignments, 0.1)
    assert found.dtype == torch.float32
    # A score is off by up to 2 ** -9, so a logit by 0.02, and a loss is a difference of two.
    assert float(found) == pytest.approx(
        float(swapped_prediction(scores, assignments, 0.1)), abs=0.04
    )


def test_nothing_to_predict_is_refused():
    scores = cosines(2, 4, 3)
    with pytest.raises(ConfigError, match="1 views and 3 prototypes"):
        swapped_prediction(scores[:1], scores[:1], 0.1)
    with pytest.raises(ConfigError, match="2 views and 1 prototypes"):
        swapped_prediction([rows[:, :1] for rows in scores], [rows[:, :1] for rows in scores], 0.1)


def test_a_step_gives_one_finite_term_whose_gradient_reaches_everything():
    for local in (0, 3):
        method = make(frozen_steps=0)
        terms = method.loss(image_batch(2 + local), at())
        assert set(terms) == {"swapped_prediction"}
        terms["swapped_prediction"].backward()
        assert terms["swapped_prediction"].isfinite()
        assert all(parameter.grad.isfinite().all() for parameter in method.parameters())


def test_equal_images_and_a_batch_of_equal_images_give_a_finite_step():
    method = make()
    views = tuple(view[:1].expand(16, -1, -1, -1) for view in image_batch().views)
    loss = method.loss(Batch(views, torch.arange(16)), at())["swapped_prediction"]
    loss.backward()
    # Equal rows are assigned evenly, whatever their scores.
    assert loss.isfinite()
    assert loss >= math.log(6) - 1e-4


def test_prototypes_have_length_1_whatever_a_step_made_of_them():
    method = make()
    before = method.loss(image_batch(), at())["swapped_prediction"].item()
    method = make()
    with torch.no_grad():
        method.prototypes.weight.mul_(torch.arange(1.0, 7)[:, None])
    assert method.loss(image_batch(), at())["swapped_prediction"].item() == pytest.approx(
        before, abs=1e-5
    )
    torch.testing.assert_close(method.prototypes.weight.norm(dim=1), torch.ones(6))
    torch.testing.assert_close(
        method.artifacts()["prototypes_0"], method.prototypes.weight.detach()
    )


def test_frozen_prototypes_get_no_gradient_and_the_encoder_gets_its_own():
    method = make(frozen_steps=3)
    for step, frozen in ((0, True), (2, True), (3, False)):
        method.zero_grad(set_to_none=True)
        method.loss(image_batch(), at(0, step))["swapped_prediction"].backward()
        assert (method.prototypes.weight.grad is None) == frozen
        assert method.head[0].weight.grad.any()


def test_each_assigning_view_has_a_queue_of_its_embeddings_in_order():
    method = make(queue_size=32)
    method.loss(image_batch(4), at())
    one, other = method.queues
    assert len(method.queues) == 2
    for queue in (one, other):
        assert queue.index.tolist() == [*range(0, 64, 4), *[-1] * 16]
        torch.testing.assert_close(queue.features.norm(dim=1), torch.ones(32))
    assert not torch.equal(one.features[:16], other.features[:16])


# 32 rows are full after two batches of 16.
@pytest.mark.parametrize(
    ("epoch", "step", "used"), [(5, 2, True), (1, 2, False), (5, 1, False), (2, 40, True)]
)
def test_a_queue_counts_from_its_epoch_on_and_only_when_it_is_full(epoch, step, used):
    losses = []
    for size in (32, 0):
        method = make(queue_size=size, queue_from=2)
        losses.append(method.loss(image_batch(), at(epoch, step))["swapped_prediction"].item())
    assert (losses[0] != losses[1]) == used


def test_the_queue_fills_by_itself_and_is_then_used():
    method, alone = make(queue_size=32, queue_from=0), make(queue_size=0)
    for step in range(4):
        images = torch.rand(2, 16, 3, 16, 16, generator=torch.Generator().manual_seed(step))
        new = Batch(tuple(images), torch.arange(16))
        queued, own = (m.loss(new, at(5, step))["swapped_prediction"] for m in (method, alone))
        assert (queued.item() != own.item()) == (step >= 2)


def test_local_views_predict_and_leave_the_assignments_alone():
    assigned = []
    for local in (0, 2):
        method = make(queue_size=32)
        loss = method.loss(image_batch(2 + local), at())["swapped_prediction"].item()
        assigned.append((loss, len(method.queues)))
    assert assigned[0][0] != assigned[1][0]
    assert assigned[0][1] == assigned[1][1] == 2


def test_at_imagenets_size_the_rules_give_the_papers_values():
    config = scaled(IMAGENET)
    assert (config.prototypes, config.queue_size, config.queue_from) == (3000, 3840, 15)
    assert config.frozen_steps == 5004  # an epoch
    large = scaled(DataInfo(1_281_167, 4096, 224, 800, 312))
    assert (large.prototypes, large.queue_size, large.frozen_steps) == (3000, 0, 312)


def test_at_8000_images_the_rules_give_what_fits():
    config = scaled(DataInfo(8000, 256, 32, 16, 31))
    # 384 prototypes are to share 4,096 / 3,000 as many samples: the batch's 256 and 256 more.
    assert (config.prototypes, config.queue_size, config.queue_from) == (384, 256, 2)
    assert config.frozen_steps == 4


@pytest.mark.parametrize("images", [8, 16, 40, 200, 1000])
@pytest.mark.parametrize("epochs", [0, 1, 3])
def test_the_rules_work_for_any_data_and_are_settled_once(images, epochs):
    data = DataInfo(images, 8, 32, epochs, images // 8)
    config = scaled(data)
    assert 2 <= config.prototypes <= images
    assert config.queue_size % 8 == 0
    assert config.queue_size <= images // 2
    assert 0 <= config.queue_from <= max(0, epochs - 1)
    assert scaled(data, **config.hashed()) == config


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"prototypes": 1}, "prototypes = 1: expected 2 to 64.*Nearest: 2"),
        ({"prototypes": 65}, "prototypes = 65.*Nearest: 64.*gives 3"),
        ({"queue_size": 65}, "queue_size = 65 is more than the 64.*gives 0; 0 is no queue"),
        ({"queue_from": 10}, "queue_from = 10 of 10 epochs.*largest that works is 9; .*gives 1"),
        ({"frozen_steps": 40}, "frozen_steps = 40 of 40 steps.*largest that works is 39.*gives 0"),
        ({"temperature": 0.0}, "temperature"),
        ({"epsilon": 0.0}, "epsilon"),
        ({"rounds": 0}, "rounds"),
        ({"queue_size": -1}, "queue_size"),
    ],
)
def test_planning_refuses_what_cannot_work_and_names_what_does(params, message):
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        scaled(**params)


def test_the_largest_values_that_a_refusal_names_do_work():
    config = scaled(prototypes=64, queue_size=64, queue_from=9, frozen_steps=39)
    assert (config.prototypes, config.queue_size) == (64, 64)


def test_every_variant_gives_a_finite_step_and_no_queue_means_none():
    for variant, entry in METHODS.defaults("swav")["variants"].items():
        method = make(prototypes=30, **entry.get("params", {}))
        assert method.loss(image_batch(8, size=7), at())["swapped_prediction"].isfinite()
        assert len(method.queues) == (0 if variant == "no-queue" else 2)
