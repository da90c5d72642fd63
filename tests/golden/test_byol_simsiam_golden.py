"""BYOL and SimSiam against what two libraries and the authors' line made of recorded embeddings."""

import pytest
import torch
from torch import nn

from sslbench.api import Batch, DataInfo, methods
from sslbench.config import build

DATA = DataInfo(images=400, batch_size=12, image_size=32, epochs=200, steps_per_epoch=50)


class Views(nn.Module):
    """An encoder whose images are its features."""

    def __init__(self, dim):
        super().__init__()
        self.dim, self.unused = dim, nn.Parameter(torch.zeros(1))

    def forward(self, rows):
        return rows


class Recorded(nn.Module):
    """A predictor that knows the recorded answer to each of the recorded embeddings."""

    def __init__(self, answers):
        super().__init__()
        self.answers = answers

    def forward(self, rows):
        (answer,) = (p for z, p in self.answers if torch.equal(z, rows))
        return answer


def loss_of(name, arrays):
    """The one term of the method's own loss; the recorded predictions become leaves."""
    cls = methods.get(name)
    encoder = Views(arrays["z0"].shape[1])
    method = cls(encoder, cls.scaled(build(cls.Config, {}, name), DATA), DATA)
    method.projector = nn.Identity()
    if name == "byol":
        method.momentum_encoder.copies[1] = nn.Identity()
    pairs = [(arrays[f"z{n}"], arrays[f"p{n}"].requires_grad_()) for n in range(2)]
    method.predictor = Recorded(pairs)
    batch = Batch((arrays["z0"], arrays["z1"]), torch.arange(len(arrays["z0"])))
    (loss,) = method.loss(batch, None).values()
    return loss


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("byol", "solo_byol"),
        ("simsiam", "solo_simsiam"),
        ("simsiam", "lightly_simsiam"),
        ("simsiam", "official_simsiam"),
    ],
)
def test_golden_byol_and_simsiam_and_their_gradients(name, source, golden):
    arrays = golden("simsiam_byol")
    loss = loss_of(name, arrays)
    torch.testing.assert_close(loss, arrays[f"{source}/loss"], atol=1e-5, rtol=1e-5)
    loss.backward()
    for number in range(2):
        expected = arrays[f"{source}/grad_p{number}"]
        torch.testing.assert_close(arrays[f"p{number}"].grad, expected, atol=1e-5, rtol=1e-5)
