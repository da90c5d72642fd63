"""SimCLR and its decoupled variant against two libraries."""

import pytest
import torch
from torch import nn

from sslbench.api import Batch, DataInfo, methods
from sslbench.config import build
from sslbench.registry import METHODS

DATA = DataInfo(images=400, batch_size=12, image_size=32, epochs=200, steps_per_epoch=33)


@pytest.mark.parametrize("temperature", ["T0.1", "T0.5"])
@pytest.mark.parametrize(
    ("source", "variant"),
    [("lightly_ntxent", None), ("solo_simclr", None), ("lightly_dcl", "dcl")],
)
def test_golden_simclr_and_its_gradients(golden, temperature, source, variant):
    arrays = golden("ntxent")
    views = arrays["z0"].requires_grad_(), arrays["z1"].requires_grad_()
    encoder = nn.Identity()
    encoder.dim = views[0].shape[1]
    change = METHODS.defaults("simclr")["variants"][variant]["params"] if variant else {}
    cls = methods.get("simclr")
    params = {"temperature": float(arrays[f"{temperature}/T"]), **change}
    simclr = cls(encoder, build(cls.Config, params, "simclr"), DATA)
    simclr.head = nn.Identity()  # the recorded embeddings, not yet of length 1, are the views
    terms = simclr.loss(Batch(views, torch.arange(len(views[0]))), None)
    assert set(terms) == {"nt_xent"}
    terms["nt_xent"].backward()
    recorded = arrays[f"{temperature}/{source}/loss"]
    torch.testing.assert_close(terms["nt_xent"], recorded, atol=1e-5, rtol=1e-5)
    for number, view in enumerate(views):
        expected = arrays[f"{temperature}/{source}/grad_z{number}"]
        torch.testing.assert_close(view.grad, expected, atol=1e-5, rtol=1e-5)
