"""NNCLR against what solo-learn made of recorded embeddings."""

import pytest
import torch
from torch import nn

from sslbench.api import Batch, DataInfo, methods
from sslbench.config import build
from sslbench.nn import pairs

DATA = DataInfo(images=400, batch_size=12, image_size=32, epochs=200, steps_per_epoch=50)


class Views(nn.Module):
    """An encoder whose images are its features."""

    def __init__(self, dim):
        super().__init__()
        self.dim = dim

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


@pytest.mark.parametrize(
    ("embedding", "source"), [("z0", "nn0"), ("z1", "nn1"), ("z0", "lightly_nn0")]
)
def test_golden_nearest_rows_of_the_support(embedding, source, golden):
    arrays = golden("nnclr")
    found = arrays["support"][pairs.nearest(arrays[embedding], arrays["support"])]
    torch.testing.assert_close(found, arrays[source], atol=1e-5, rtol=1e-5)


def test_golden_nnclr_and_its_gradients(golden):
    arrays = golden("nnclr")
    views = arrays["z0"], arrays["z1"]
    cls = methods.get("nnclr")
    params = {
        "dim": views[0].shape[1],
        "queue_size": len(arrays["support"]),
        "temperature": float(arrays["T"]),
    }
    method = cls(Views(params["dim"]), build(cls.Config, params, "nnclr"), DATA)
    method.projector = nn.Identity()
    predictions = [arrays[f"p{number}"].requires_grad_() for number in range(2)]
    method.predictor = Recorded([*zip(views, predictions, strict=True)])
    method.queue.features = arrays["support"]
    (loss,) = method.loss(Batch(views, torch.arange(len(views[0]))), None).values()
    torch.testing.assert_close(loss, arrays["solo_nnclr/loss"], atol=1e-5, rtol=1e-5)
    loss.backward()
    for number, prediction in enumerate(predictions):
        expected = arrays[f"solo_nnclr/grad_p{number}"]
        torch.testing.assert_close(prediction.grad, expected, atol=1e-5, rtol=1e-5)
    # The first view's embeddings, at unit length, have taken the oldest rows.
    first = torch.nn.functional.normalize(views[0])
    count = len(first)
    torch.testing.assert_close(method.queue.features[:count], first, atol=1e-5, rtol=0)
    assert torch.equal(method.queue.features[count:], arrays["support"][count:])
    assert method.queue.pointer == count
