"""NT-Xent and its decoupled form against two libraries."""

import pytest
import torch

from sslbench.nn import nt_xent, unit


@pytest.mark.parametrize("temperature", ["T0.1", "T0.5"])
@pytest.mark.parametrize(
    ("source", "decoupled"),
    [("lightly_ntxent", False), ("solo_simclr", False), ("lightly_dcl", True)],
)
def test_golden_nt_xent_and_its_gradients(golden, temperature, source, decoupled):
    arrays = golden("ntxent")
    views = [arrays["z0"].requires_grad_(), arrays["z1"].requires_grad_()]
    recorded = float(arrays[f"{temperature}/T"])
    loss = nt_xent(unit(views[0]), unit(views[1]), recorded, decoupled)
    loss.backward()
    torch.testing.assert_close(
        loss, arrays[f"{temperature}/{source}/loss"], atol=1e-5, rtol=1e-5, check_dtype=False
    )
    for number, view in enumerate(views):
        expected = arrays[f"{temperature}/{source}/grad_z{number}"]
        torch.testing.assert_close(view.grad, expected, atol=1e-5, rtol=1e-5)
