"""CMC with memory banks against a recorded step of its authors' bank and criterion."""

import torch
from torch import nn

from sslbench.api import Batch, DataInfo, methods

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


class TwoTowers(nn.Module):
    """In place of an encoder: both towers give the recorded rows, each from an input of its own."""

    dim = 32

    def towers(self, rows):
        return rows[0], rows[1]


class Draws:
    """A context that hands out the recorded draw once; column 0 is the positive."""

    def __init__(self, images, recorded):
        self.images, self.recorded = images, [recorded[:, 1:]]

    def integers(self, high, rows, *shape):
        drawn = self.recorded.pop()
        assert high == self.images
        assert drawn.shape == (rows, *shape)
        return drawn


def test_golden_cmc_takes_the_recorded_step_in_both_directions(golden):
    arrays = golden("bank_nce")
    bank = arrays["memory_before"]
    cmc = methods.get("cmc")
    config = cmc.Config(
        dim=16,
        contrast="memory bank",
        negatives=arrays["idx"].shape[1] - 1,
        normaliser="first",
        temperature=float(arrays["T"]),
        bank_momentum=float(arrays["momentum"]),
    )
    method = cmc(TwoTowers(), config, DataInfo(len(bank), 8, 32, 200, 15))
    method.lightness_head = method.colour_head = nn.Identity()
    method.lightness_bank.features = bank.clone()
    method.colour_bank.features = bank.clone()
    rows = torch.stack([arrays["x"], arrays["x"]]).requires_grad_()
    terms = method.loss(Batch((rows,), arrays["y"]), Draws(len(bank), arrays["idx"]))
    sum(terms.values()).backward()

    recorded = arrays["x"].clone().requires_grad_()  # the gradient there is that at unit rows
    unit = nn.functional.normalize(recorded)
    (gradient,) = torch.autograd.grad(unit, recorded, arrays["grad_x"])
    for number, name in enumerate(("lightness", "colour")):
        torch.testing.assert_close(terms[name], arrays["loss"].reshape(()), **CLOSE)
        torch.testing.assert_close(rows.grad[number], gradient, **CLOSE)
        after = getattr(method, f"{name}_bank").features
        torch.testing.assert_close(after, arrays["memory_after"], **CLOSE)
        # Z is thousands: its relative error is the absolute one of its logarithm.
        log = getattr(method, f"{name}_normaliser").log
        torch.testing.assert_close(log, arrays["Z"].log(), atol=1e-5, rtol=0)
