"""Heads among a run's artifacts: made again bit for bit, whatever their layers."""

import pytest
import torch
from torch import nn

from sslbench.api import Batch, DataInfo, methods
from sslbench.config import build
from sslbench.errors import ConfigError, NotApplicable
from sslbench.nn import Encoder, head_artifacts, mlp, unit
from sslbench.nn.heads import imported_head
from sslbench.nn.prototypes import Prototypes
from tests.methods.small import IMAGES, SMALL, SeededContext

DATA = DataInfo(images=64, batch_size=16, image_size=16, epochs=2, steps_per_epoch=4)
METHODS = {
    "hcsc": {"clusters": [16, 6, 3], "warmup_epochs": 0},
    "pcl": {"clusters": [16, 6], "warmup_epochs": 0},
    "swav": {"prototypes": 8},
    "deepcluster": {"clusters": [8, 6]},
}


@torch.enable_grad()
def trained(name, **params):
    """A method after an epoch's start and a few steps of SGD, so that no tensor is as it began."""
    torch.manual_seed(0)
    cls = methods.get(name)
    config = build(cls.Config, {"dim": 16, **METHODS[name], **params}, name)
    method = cls(Encoder(SMALL), cls.scaled(config, DATA), DATA)
    context = SeededContext(method, epoch=0, epochs=2)
    method.on_epoch_start(context)
    optimiser = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
    for step in range(3):
        index = torch.arange(16) + 16 * step
        views = (IMAGES[index], IMAGES[index].flip(3))
        loss = sum(method.loss(Batch(views, index), context).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        context.step += 1
    return method.eval()


@pytest.mark.parametrize(
    ("name", "params"),
    [
        *((name, {}) for name in METHODS),
        ("pcl", {"hidden_layers": 0}),
        ("hcsc", {"hidden_layers": 2}),
    ],
)
@torch.no_grad()
def test_the_head_of_every_method_with_prototypes_is_made_again_bit_for_bit(name, params):
    method = trained(name, **params)
    head = imported_head(method.artifacts())
    features = method.encoder(IMAGES)
    assert torch.equal(head(features), method.head(features))
    untrained = type(method)(Encoder(SMALL), method.config, DATA).eval()
    assert not torch.equal(untrained.head(features), method.head(features))


@pytest.mark.parametrize("name", list(METHODS))
@torch.no_grad()
def test_images_lie_among_the_prototypes_where_the_method_saw_them(name):
    method = trained(name)
    found = Prototypes.of(method.artifacts())
    features = method.encoder(IMAGES)
    torch.testing.assert_close(found.embedded(features), unit(method.head(features)))
    assert list(found.levels) == [f"prototypes_{n}" for n in range(len(found.levels))]
    if name == "swav":
        cosines = found.embedded(features) @ found.levels["prototypes_0"].T
        torch.testing.assert_close(cosines, method.prototype_scores(IMAGES))


@pytest.mark.parametrize(
    "head",
    [
        mlp(6, 5),
        mlp(6, 5, 4, batch_norm=True),
        mlp(6, 5, 4, batch_norm=True, last_norm=True, last_affine=False),
        mlp(6, 5, 4, last_bias=False),
    ],
)
@torch.no_grad()
def test_layers_come_back_in_their_order_frozen_and_in_eval_mode(head):
    rows = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))
    head.train()(3 * rows)  # moves running statistics
    again = imported_head(head_artifacts(head))
    assert [type(layer) for layer in again] == [type(layer) for layer in head]
    assert not again.training
    assert not any(parameter.requires_grad for parameter in again.parameters())
    assert torch.equal(again(rows), head.eval()(rows))


def test_tensors_are_copies_that_training_on_leaves_as_they_are():
    head = mlp(3, 2)
    kept = head_artifacts(head)
    before = kept["head.0.weight"].clone()
    with torch.no_grad():
        head[0].weight.add_(1)
    assert torch.equal(kept["head.0.weight"], before)


@pytest.mark.parametrize(
    "layer", [nn.GELU(), nn.LayerNorm(4), nn.BatchNorm1d(4, eps=1e-3)], ids=["gelu", "ln", "eps"]
)
def test_a_head_that_its_tensors_do_not_tell_is_refused(layer):
    with pytest.raises(ConfigError, match=f"this one has {type(layer).__name__}"):
        head_artifacts(nn.Sequential(nn.Linear(4, 4), layer))


def test_without_prototypes_or_without_a_head_there_is_nothing_to_measure():
    assert imported_head({"prototypes_0": torch.eye(3)}) is None
    with pytest.raises(NotApplicable, match="there are no prototypes"):
        Prototypes.of({})
    with pytest.raises(NotApplicable, match="head in whose space"):
        Prototypes.of({"prototypes_0": torch.eye(3)})


def test_levels_are_in_the_order_of_their_numbers_and_void_prototypes_are_left_out():
    levels = {f"prototypes_{n}": torch.eye(3)[: 1 + n % 3] for n in range(11)}
    levels["prototypes_2"][1] = 0  # its cluster was discarded
    found = Prototypes.of({**dict(reversed(levels.items())), **head_artifacts(mlp(3, 3))})
    assert list(found.levels) == list(levels)
    assert torch.equal(found.levels["prototypes_2"], torch.eye(3)[[0, 2]])
