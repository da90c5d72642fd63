"""MoCo v3 against a recorded step of the authors' code, their momentum, and solo-learn's loss."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sslbench.api import Batch, DataInfo, methods
from sslbench.config import build
from sslbench.nn import MomentumCopy, cosine_momentum

DATA = DataInfo(images=400, batch_size=8, image_size=32, epochs=200, steps_per_epoch=50)
START = SimpleNamespace(progress=0.0)


def make(encoder, **params):
    cls = methods.get("moco_v3")
    return cls(encoder, build(cls.Config, params, "moco_v3"), DATA)


def part(arrays, prefix, names):
    found = {k.removeprefix(prefix): v.clone() for k, v in arrays.items() if k.startswith(prefix)}
    return {k: v for k, v in found.items() if k.startswith(names)}


def modules(method):
    """Each module with its place among the recorded names."""
    encoder_copy, projector_copy = method.key_encoder.copies
    return [
        (method.encoder, "base_encoder.", "bn."),
        (method.projector, "base_encoder.fc.", ""),
        (encoder_copy, "momentum_encoder.", "bn."),
        (projector_copy, "momentum_encoder.fc.", ""),
        (method.predictor, "predictor.", ""),
    ]


def narrowed(head, hidden):
    """The head with the recorded hidden width, which is no multiple of the recorded feature's."""
    first, norm, relu, last, *rest = head
    layers = [
        nn.Linear(first.in_features, hidden, bias=first.bias is not None),
        nn.BatchNorm1d(hidden, affine=norm.affine),
        relu,
        nn.Linear(hidden, last.out_features, bias=last.bias is not None),
    ]
    return nn.Sequential(*layers, *rest)


@pytest.fixture
def recorded(golden, batch_norm_encoder):
    """The recorded arrays and a method in the recorded state."""
    arrays = golden("mocov3_step")
    hidden, width = arrays["init/base_encoder.fc.0.weight"].shape
    settings = {
        "dim": len(arrays["init/base_encoder.fc.3.weight"]),
        "momentum": float(arrays["m"]),
        "temperature": float(arrays["T"]),
    }
    method = make(batch_norm_encoder(width), **settings)
    for module, prefix, names in modules(method):  # our heads have the authors' layers
        assert module.state_dict().keys() == part(arrays, f"init/{prefix}", names).keys()
    method.projector = narrowed(method.projector, hidden)
    method.predictor = narrowed(method.predictor, hidden)
    method.key_encoder = MomentumCopy(method.encoder, method.projector)
    for module, prefix, names in modules(method):
        module.load_state_dict(part(arrays, f"init/{prefix}", names))
    return method, arrays


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_golden_moco_v3_takes_the_recorded_step(recorded):
    method, arrays = recorded
    predicted, keys = [], []

    def keep(module, given, output):
        output.retain_grad()
        predicted.append(output)

    method.predictor.register_forward_hook(keep)
    method.key_encoder.register_forward_hook(lambda module, given, output: keys.append(output))
    views = arrays["view0"], arrays["view1"]
    terms = method.loss(Batch(views, torch.arange(len(views[0]))), START)
    close(terms["info_nce"], arrays["loss_total"])
    terms["info_nce"].backward()
    for number in range(2):
        close(predicted[number], arrays[f"term{number}/q_raw"])
        close(keys[1 - number], arrays[f"term{number}/k_raw"])
        close(predicted[number].grad, arrays[f"term{number}/grad_q_raw"])
    for module, prefix, names in modules(method):
        expected = part(arrays, f"after_forward/{prefix}", names)
        for name, value in module.state_dict().items():
            close(value, expected[name])


def test_golden_momentum_of_moco_v3_at_fractions_of_epochs(golden):
    vectors = golden("mocov3_schedules")
    momenta = [cosine_momentum(0.99, epoch / 100) for epoch in vectors["epoch"].tolist()]
    ours = torch.tensor(momenta, dtype=torch.float64)
    torch.testing.assert_close(ours, vectors["m"], rtol=0, atol=1e-9)


class Pairs(nn.Module):
    """Recorded rows as features: a view is a query and its key side by side."""

    def __init__(self, dim):
        super().__init__()
        self.dim, self.unused = dim, nn.Parameter(torch.zeros(1))

    def forward(self, rows):
        return rows


class Half(nn.Module):
    """The query or the key of every row."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def forward(self, rows):
        return rows.chunk(2, dim=1)[self.number]


def test_golden_moco_v3_is_solo_learns_loss_in_both_directions(golden):
    arrays = golden("solo_moco")
    # solo-learn's loss is of one direction. With the same query and key in both, ours is twice it.
    views = [torch.cat([arrays["q_raw"], arrays["k_raw"]], 1).requires_grad_() for _ in range(2)]
    width = arrays["q_raw"].shape[1]
    method = make(Pairs(2 * width), temperature=float(arrays["T"]))
    method.projector, method.predictor = nn.Identity(), Half(0)
    method.key_encoder.copies[1] = Half(1)
    method.key_encoder.update = lambda *modules, momentum: None
    (loss,) = method.loss(Batch(tuple(views), torch.arange(len(views[0]))), START).values()
    close(loss, 2 * arrays["mocov3/loss"])
    loss.backward()
    for view in views:
        close(view.grad[:, :width], arrays["mocov3/grad_q_raw"])
        assert not view.grad[:, width:].any()  # none reaches the key
