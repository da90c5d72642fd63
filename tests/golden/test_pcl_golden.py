"""PCL's released code, one recorded step: the variant released-code equals it."""

import pytest
import torch

from sslbench.api import Batch, DataInfo, methods
from sslbench.nn import Level
from sslbench.registry import METHODS


def recorded_levels(arrays):
    """The recorded clusterings, finest or first one first."""
    levels = []
    while f"cluster/set{len(levels)}/centroids" in arrays:
        at = f"cluster/set{len(levels)}/"
        size = len(arrays[f"{at}centroids"])
        levels.append(
            Level(
                arrays[f"{at}im2cluster"].long(),
                arrays[f"{at}centroids"],
                arrays[f"{at}density"],
                torch.ones(size, dtype=torch.bool),
                torch.zeros(size, dtype=torch.long),
            )
        )
    return levels


def positions_among_candidates(level, cluster, drawn):
    """The recorded ids as places among the prototypes that the batch leaves free."""
    free = [i for i in range(len(level.prototypes)) if i not in set(cluster.tolist())]
    return torch.tensor([free.index(prototype) for prototype in drawn.tolist()])


@pytest.mark.parametrize("name", ["pcl_v1_step", "pcl_v2_step", "pcl_v2_warmup"])
def test_golden_pcl_takes_the_recorded_step(
    name, golden, widths, batch_norm_encoder, replay, replay_context
):
    arrays = golden(name)
    levels = recorded_levels(arrays)
    sizes = tuple(len(level.prototypes) for level in levels) or (4,)
    images = len(levels[0].assignment) if levels else int(arrays["index"].max()) + 1
    draws = [v for k, v in sorted(arrays.items()) if k.startswith("proto/") and "neg_id" in k]
    pcl = methods.get("pcl")
    config = pcl.Config(
        clusters=sizes,
        warmup_epochs=0 if levels else 1,
        negatives=len(draws[0]) if draws else 1,
        **METHODS.defaults("pcl")["variants"]["released-code"]["params"],
        **widths(arrays),
    )
    data = DataInfo(images, len(arrays["index"]), 32, epochs=200, steps_per_epoch=50)
    recorded = replay(pcl(batch_norm_encoder(arrays["view0"].shape[1]), config, data), arrays)
    context = replay_context()
    if levels:
        recorded.method.clusters.store(levels)
        for level, drawn in zip(levels, draws, strict=True):
            cluster = level.assignment[arrays["index"]]
            context.choices.append(positions_among_candidates(level, cluster, drawn))
    terms = recorded.step(Batch((arrays["view0"], arrays["view1"]), arrays["index"]), context)

    close = {"atol": 1e-5, "rtol": 1e-5, "check_dtype": False}
    torch.testing.assert_close(terms["info_nce"], arrays["loss_inst"], **close)
    if levels:
        parts = [arrays[f"proto/set{n}/loss"] for n in range(len(levels))]
        torch.testing.assert_close(terms["proto_nce"], torch.stack(parts).mean(), **close)
    torch.testing.assert_close(sum(terms.values()), arrays["loss_total"], **close)
    torch.testing.assert_close(*recorded.gradient(arrays["grad_q"]), **close)
    torch.testing.assert_close(recorded.method.queue.features.T, arrays["queue_after"], **close)
    assert recorded.method.queue.pointer == arrays["queue_ptr_after"][0]
    recorded.assert_weights_are()
