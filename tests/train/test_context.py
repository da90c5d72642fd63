"""What the trainer lends a method: draws by place, and the embeddings of the training set."""

import pytest
import torch
from torch import nn

from sslbench.api import DataInfo
from sslbench.train.context import TrainingContext

DATA = DataInfo(images=10, batch_size=2, image_size=4, epochs=2, steps_per_epoch=5)


def context(images=10, method=None):
    def batches():
        yield from torch.split(torch.arange(images, dtype=torch.float32)[:, None], 4)

    return TrainingContext(
        3,
        DATA,
        torch.device("cpu"),
        method or nn.Identity(),
        batches,
        lambda: torch.autocast("cpu", torch.bfloat16, enabled=False),
    )


def test_draws_depend_on_the_place_and_their_number_in_it():
    one, other = context(), context()
    one.begin("step", 0, 4)
    other.begin("step", 1, 4)
    first = one.rand(5, 3)
    assert torch.equal(first, other.rand(5, 3))
    assert not torch.equal(first, one.rand(5, 3))
    one.begin("epoch", 0, 4)
    assert not torch.equal(first, one.rand(5, 3))


def test_embeddings_are_of_all_images_in_order_and_float32():
    method = nn.BatchNorm1d(1).train()
    found = context(method=method).embed(lambda rows: torch.cat([rows, -rows], 1).bfloat16())
    expected = torch.arange(10.0)[:, None] * torch.tensor([1.0, -1.0])
    assert torch.equal(found, expected)
    assert found.dtype == torch.float32
    assert method.training


@pytest.mark.parametrize("images", [0, 8, 12])
def test_embeddings_of_other_images_than_there_are_are_refused(images):
    with pytest.raises((ValueError, RuntimeError)):
        context(images).embed(lambda rows: rows)
