"""MoCo against five recorded steps of the authors' code."""

import pytest
import torch

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
