"""VICReg against the authors' code and two libraries."""

import pytest
import torch
from torch import nn

from sslbench.api import Batch, DataInfo, methods
from sslbench.config import build
from sslbench.registry import METHODS

DATA = DataInfo(images=400, batch_size=12, image_size=32, epochs=200, steps_per_epoch=33)


def method(dim, variant):
    """VICReg whose encoder and projector hand its views on."""
    encoder = nn.Identity()
    encoder.dim = dim
    cls = methods.get("vicreg")
    change = METHODS.defaults("vicreg")["variants"][variant]["params"] if variant else {}
    made = cls(encoder, build(cls.Config, {"width": 1, **change}, "vicreg"), DATA)
    made.projector = nn.Identity()
    return made


@pytest.mark.parametrize(
    ("source", "variant"),
    [
        ("official_vicreg", None),
        ("lightly_vicreg", None),
        ("solo_vicreg", "paper-variance"),  # it adds the variance terms of both views
    ],
)
def test_golden_vicreg_and_its_gradients(golden, source, variant):
    arrays = golden("vicreg")
    views = arrays["z0"].requires_grad_(), arrays["z1"].requires_grad_()
    vicreg = method(views[0].shape[1], variant)
    terms = vicreg.loss(Batch(views, torch.arange(len(views[0]))), None)
    assert set(terms) == {"invariance", "variance", "covariance"}
    loss = sum(terms.values())
    loss.backward()
    torch.testing.assert_close(loss, arrays[f"{source}/loss"], atol=1e-5, rtol=1e-5)
    for number, view in enumerate(views):
        expected = arrays[f"{source}/grad_z{number}"]
        torch.testing.assert_close(view.grad, expected, atol=1e-5, rtol=1e-5)


def test_golden_vicreg_variants_differ_by_the_variance_term_alone(golden):
    arrays = golden("vicreg")
    batch = Batch((arrays["z0"], arrays["z1"]), torch.arange(12))
    dim = arrays["z0"].shape[1]
    code, paper = (method(dim, variant).loss(batch, None) for variant in (None, "paper-variance"))
    torch.testing.assert_close(paper["variance"], 2 * code["variance"])
    assert paper["invariance"] == code["invariance"]
    assert paper["covariance"] == code["covariance"]
