"""Barlow Twins against the authors' code and two libraries."""

import pytest
import torch
from torch import nn

from sslbench.api import Batch, DataInfo, methods
from sslbench.config import build

DATA = DataInfo(images=400, batch_size=12, image_size=32, epochs=200, steps_per_epoch=33)


def method(dim, **params):
    """Barlow Twins whose encoder and projector hand its views on."""
    encoder = nn.Identity()
    encoder.dim = dim
    cls = methods.get("barlow_twins")
    made = cls(encoder, build(cls.Config, {"width": 1, **params}, "barlow_twins"), DATA)
    made.projector = nn.Identity()
    return made


@pytest.mark.parametrize(
    ("source", "params", "factor"),
    [
        ("official_barlow", {}, 1),
        ("lightly_barlow", {"redundancy": 0.005}, 1),  # its default weight
        ("solo_barlow", {"redundancy": 0.005}, 0.025),  # the same, and the whole loss scaled
    ],
)
def test_golden_barlow_twins_and_its_gradients(golden, source, params, factor):
    arrays = golden("barlow")
    views = arrays["z0"].requires_grad_(), arrays["z1"].requires_grad_()
    twins = method(views[0].shape[1], **params)
    terms = twins.loss(Batch(views, torch.arange(len(views[0]))), None)
    assert set(terms) == {"invariance", "redundancy"}
    loss = factor * sum(terms.values())
    loss.backward()
    torch.testing.assert_close(loss, arrays[f"{source}/loss"], atol=1e-5, rtol=1e-5)
    for number, view in enumerate(views):
        expected = arrays[f"{source}/grad_z{number}"]
        torch.testing.assert_close(view.grad, expected, atol=1e-5, rtol=1e-5)
