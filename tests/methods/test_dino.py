"""DINO: its loss against a loop, its teacher and centre, what planning gives and refuses."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sslbench.api import Batch, DataInfo, methods
from sslbench.config import build
from sslbench.errors import ConfigError
from sslbench.methods.dino import CosineLayer, self_distillation
from sslbench.nn import Encoder
from sslbench.registry import METHODS
from tests.methods.small import DATA, IMAGENET, SMALL, image_batch


def scaled(data=DATA, **params):
    cls = methods.get("dino")
    return cls.scaled(build(cls.Config, params, "dino"), data)


def make(**params):
    torch.manual_seed(0)
    config = scaled(**{"dim": 16, "outputs": 12, **params})
    return methods.get("dino")(Encoder(SMALL), config, DATA)


def at(step=20, steps=40):
    return SimpleNamespace(step=step, progress=step / steps)


def outputs(views, count, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(views, count, width, generator=generator, dtype=torch.float64)
    return list(2 * drawn - 1)


def log_of_softmax(row, temperature):
    exponents = [float(value) / temperature for value in row]
    largest = max(exponents)
    partition = largest + math.log(sum(math.exp(e - largest) for e in exponents))
    return [e - partition for e in exponents]


def loop(student, teacher, centre, student_temperature, teacher_temperature):
    pairs = [(i, j) for i in range(len(teacher)) for j in range(len(student)) if i != j]
    total = 0.0
    for i, j in pairs:
        for taught, learnt in zip(teacher[i], student[j], strict=True):
            target = log_of_softmax(taught - centre, teacher_temperature)
            found = log_of_softmax(learnt, student_temperature)
            total -= sum(math.exp(t) * f for t, f in zip(target, found, strict=True))
    return total / len(pairs) / len(student[0])


@pytest.mark.parametrize("temperatures", [(0.01, 0.01), (0.1, 0.04), (10.0, 10.0)])
@pytest.mark.parametrize("views", [2, 5])
@pytest.mark.parametrize("width", [2, 7])
def test_the_loss_equals_a_loop(width, views, temperatures):
    student, teacher = outputs(views, 4, width), outputs(2, 4, width, seed=1)
    centre = outputs(1, 1, width, seed=2)[0][0]
    found = self_distillation(student, teacher, centre, *temperatures)
    assert found.dtype == torch.float64
    expected = loop(student, teacher, centre, *temperatures)
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_the_gradient_is_that_of_finite_differences_and_none_reaches_the_teacher():
    student = [rows.requires_grad_() for rows in outputs(3, 3, 4)]
    teacher = [rows.requires_grad_() for rows in outputs(2, 3, 4, seed=1)]
    centre = torch.zeros(4, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda *views: self_distillation(views, teacher, centre, 0.5, 0.3), student
    )
    self_distillation(student, teacher, centre, 0.5, 0.3).backward()
    assert all(rows.grad is None for rows in teacher)


def test_bfloat16_outputs_give_a_float32_loss_nearby():
    student = [rows.float() for rows in outputs(4, 16, 7)]
    teacher = [rows.float() for rows in outputs(2, 16, 7, seed=1)]
    centre = torch.zeros(7)
    exact = self_distillation(student, teacher, centre, 0.1, 0.04)
    with torch.autocast("cpu", torch.bfloat16):
        found = self_distillation(
            [rows.bfloat16() for rows in student],
            [rows.bfloat16() for rows in teacher],
            centre,
            0.1,
            0.04,
        )
    assert found.dtype == torch.float32
    # The teacher's logits are off by 0.05, a tenth of a probability, of logs that span 20.
    assert float(found) == pytest.approx(float(exact), abs=0.2)


def test_a_lone_view_is_refused():
    one, centre = outputs(1, 4, 3), torch.zeros(3)
    with pytest.raises(ConfigError, match="1 views of the student and 1 of the teacher"):
        self_distillation(one, one, centre, 0.1, 0.04)
    with pytest.raises(ConfigError, match="2 views of the student and 0 of the teacher"):
        self_distillation([*one, *one], [], centre, 0.1, 0.04)


def test_a_step_gives_one_finite_term_whose_gradient_reaches_the_student_alone():
    for local in (0, 3):
        method = make(batch_norm=bool(local))
        terms = method.loss(image_batch(2 + local), at())
        assert set(terms) == {"self_distillation"}
        terms["self_distillation"].backward()
        assert terms["self_distillation"].isfinite()
        for name, parameter in method.named_parameters():
            assert (parameter.grad is None) == name.startswith("teacher.")
            assert parameter.requires_grad != name.startswith("teacher.")


def test_a_batch_of_equal_images_gives_a_finite_step():
    method = make()
    views = tuple(view[:1].expand(16, -1, -1, -1) for view in image_batch().views)
    loss = method.loss(Batch(views, torch.arange(16)), at())["self_distillation"]
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in method.parameters() if p.requires_grad)


def test_the_teacher_starts_equal_and_follows_after_the_step():
    method = make(momentum=0.8)
    pairs = [
        (leader, follower)
        for part, copy in zip(
            (method.encoder, method.head, method.last_layer), method.teacher.copies, strict=True
        )
        for leader, follower in zip(part.parameters(), copy.parameters(), strict=True)
    ]
    with torch.no_grad():
        for leader, follower in pairs:
            assert torch.equal(leader, follower)
            leader.add_(1.0)
    before = [follower.clone() for _, follower in pairs]
    method.loss(image_batch(), at())
    for (_, follower), old in zip(pairs, before, strict=True):
        assert torch.equal(follower, old)  # the loss leaves it alone
    method.on_step_end(at(20))
    momentum = 1 - (1 - 0.8) / 2  # half way up the cosine
    for (_, follower), old in zip(pairs, before, strict=True):
        torch.testing.assert_close(follower, old + 1 - momentum)
    held = [follower.clone() for _, follower in pairs]
    method.on_step_end(at(40))
    for (_, follower), old in zip(pairs, held, strict=True):
        torch.testing.assert_close(follower, old)


def test_the_teacher_is_what_is_evaluated():
    method = make()
    assert method.evaluated_encoder() is method.teacher.copies[0]
    assert method.evaluated_encoder() is not method.encoder
    assert set(method.evaluated_encoder().state_dict()) == set(method.encoder.state_dict())


def test_the_centre_moves_after_the_loss_by_the_mean_of_the_teachers_full_views():
    method = make(centre_momentum=0.75)
    seen = []
    method.teacher.register_forward_hook(lambda module, given, found: seen.append(found))
    first = method.loss(image_batch(4), at())["self_distillation"].item()
    assert [len(found) for found in seen] == [32]
    torch.testing.assert_close(method.centre, 0.25 * seen[0].mean(0))
    afresh = make().loss(image_batch(4), at())["self_distillation"].item()
    assert afresh == first  # as with centre 0
    again = method.loss(image_batch(4), at())["self_distillation"].item()
    assert again != first


def test_the_last_layer_keeps_still_at_first():
    method = make(frozen_steps=3)
    for step, frozen in ((0, True), (2, True), (3, False)):
        method.zero_grad(set_to_none=True)
        method.loss(image_batch(), at(step))["self_distillation"].backward()
        assert (method.last_layer.rows.weight.grad is None) == frozen
        assert method.head[0].weight.grad.any()


def test_the_last_layer_gives_cosines_and_is_a_weight_norm_of_gain_1():
    torch.manual_seed(0)
    layer, inputs = CosineLayer(5, 7), torch.randn(4, 5)
    expected = nn.functional.cosine_similarity(inputs[:, None], layer.rows.weight[None], dim=2)
    torch.testing.assert_close(layer(inputs), expected)
    plain = nn.Linear(5, 7, bias=False)
    plain.load_state_dict(layer.rows.state_dict())
    normed = nn.utils.parametrizations.weight_norm(plain)
    normed.parametrizations.weight.original0.data.fill_(1)
    (layer(inputs) * torch.arange(7)).sum().backward()
    (normed(nn.functional.normalize(inputs)) * torch.arange(7)).sum().backward()
    found = normed.parametrizations.weight.original1.grad
    torch.testing.assert_close(layer.rows.weight.grad, found, atol=1e-5, rtol=1e-4)


def test_the_head_has_the_papers_layers_at_the_papers_start():
    method = make()
    kinds = [type(layer) for layer in method.head]
    assert kinds == [nn.Linear, nn.GELU, nn.Linear, nn.GELU, nn.Linear]
    assert [layer.out_features for layer in method.head[::2]] == [8, 8, 16]
    assert not any(layer.bias.any() for layer in method.head[::2])
    normed = [type(layer) for layer in make(batch_norm=True).head]
    assert normed[:3] == [nn.Linear, nn.BatchNorm1d, nn.GELU]
    wide = make(hidden_width=256).head[2]
    assert wide.weight.shape == (2048, 2048)
    assert wide.weight.std().item() == pytest.approx(0.02, rel=0.01)


def test_the_rules_give_the_papers_values_at_imagenets_size_and_fit_smaller_data():
    config = scaled(IMAGENET)
    assert (config.outputs, config.momentum, config.frozen_steps) == (65_536, 0.996, 5004)
    small = scaled(DataInfo(8000, 256, 32, 16, 31))
    assert (small.outputs, small.momentum, small.frozen_steps) == (1024, 0.99, 4)
    assert scaled(DataInfo(128_000, 256, 224, 400, 500)).outputs == 6548
    for epochs in (0, 1, 3):
        data = DataInfo(40, 8, 32, epochs, 5)
        once = scaled(data)
        assert scaled(data, **once.hashed()) == once


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"frozen_steps": 40}, "frozen_steps = 40 of 40 steps.*largest that works is 39"),
        ({"outputs": 1}, "outputs"),
        ({"momentum": 1.0}, "momentum"),
        ({"student_temperature": 0.0}, "student_temperature"),
        ({"teacher_temperature": 0.0}, "teacher_temperature"),
        ({"centre_momentum": 1.0}, "centre_momentum"),
    ],
)
def test_planning_refuses_what_cannot_work(params, message):
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        scaled(**params)


def test_every_variant_gives_a_finite_step():
    for entry in METHODS.defaults("dino")["variants"].values():
        method = make(**entry.get("params", {}))
        assert method.loss(image_batch(10, size=7), at())["self_distillation"].isfinite()
