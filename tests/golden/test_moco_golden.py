"""MoCo against five recorded steps of the authors' code, and against two libraries."""

import pytest
import torch
from torch import nn

from sslbench.api import Batch, DataInfo, methods

DATA = DataInfo(images=400, batch_size=8, image_size=32, epochs=200, steps_per_epoch=50)


@pytest.mark.parametrize("name", ["moco_v1_steps", "moco_v2_steps"])
def test_golden_moco_takes_the_recorded_steps(
    name, golden, widths, batch_norm_encoder, replay, replay_context
):
    arrays = golden(name)
    moco = methods.get("moco")
    encoder = batch_norm_encoder(arrays["step0/view0"].shape[1])
    recorded = replay(moco(encoder, moco.Config(**widths(arrays)), DATA), arrays)
    queue = recorded.method.queue
    for step in range(sum(key.endswith("/loss") for key in arrays)):
        at = f"step{step}/"
        torch.testing.assert_close(queue.features.T, arrays[f"{at}queue_used"], atol=1e-5, rtol=0)
        views = arrays[f"{at}view0"], arrays[f"{at}view1"]
        terms = recorded.step(Batch(views, torch.arange(len(views[0]))), replay_context())
        torch.testing.assert_close(terms["info_nce"], arrays[f"{at}loss"], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(*recorded.gradient(arrays[f"{at}grad_q"]), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(queue.features.T, arrays[f"{at}queue_after"], atol=1e-5, rtol=0)
        assert queue.pointer == arrays[f"{at}queue_ptr_after"][0]
    recorded.assert_weights_are()


class Views(nn.Module):
    """An encoder whose images are its features."""

    def __init__(self, dim):
        super().__init__()
        self.dim, self.scale = dim, nn.Parameter(torch.ones(1))

    def forward(self, rows):
        return self.scale * rows


def of_embeddings(queue, temperature):
    """MoCo without a head, on the given queue of K x D."""
    moco = methods.get("moco")
    size, dim = queue.shape
    config = moco.Config(dim=dim, queue_size=size, momentum=0.999, temperature=float(temperature))
    method = moco(Views(dim), config, DATA)
    method.head = method.key_encoder.copies[1] = nn.Identity()
    method.queue.features = queue.clone()
    return method


def test_golden_moco_is_solo_learns_loss_of_mocov2plus(golden, replay_context):
    arrays = golden("solo_moco")
    method = of_embeddings(arrays["queue"].T, arrays["T"])
    query = arrays["q_raw"].requires_grad_()
    batch = Batch((query, arrays["k_raw"]), torch.arange(len(query)))
    (loss,) = method.loss(batch, replay_context()).values()
    torch.testing.assert_close(loss, arrays["mocov2plus/loss"], atol=1e-5, rtol=1e-5)
    loss.backward()
    expected = arrays["mocov2plus/grad_q_raw"]
    torch.testing.assert_close(query.grad, expected, atol=1e-5, rtol=1e-5)


def test_golden_moco_is_lightlys_nt_xent_with_a_bank(golden, replay_context):
    arrays = golden("ntxent_bank")
    method = of_embeddings(arrays["bank_init"], arrays["T"])  # this bank has a row for each key
    queue = method.queue
    for step in range(3):
        at = f"step{step}/"
        torch.testing.assert_close(queue.features, arrays[f"{at}bank_before"], atol=1e-5, rtol=0)
        assert queue.pointer == arrays[f"{at}ptr_before"][0]
        query = arrays[f"{at}q_raw"].requires_grad_()
        batch = Batch((query, arrays[f"{at}k_raw"]), torch.arange(len(query)))
        (loss,) = method.loss(batch, replay_context()).values()
        torch.testing.assert_close(loss, arrays[f"{at}loss"], atol=1e-5, rtol=1e-5)
        loss.backward()
        torch.testing.assert_close(query.grad, arrays[f"{at}grad_q"], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(queue.features, arrays[f"{at}bank_after"], atol=1e-5, rtol=0)
        assert queue.pointer == arrays[f"{at}ptr_after"][0]
