"""HCSC's released code, one recorded step: the variant released-code equals it."""

import pytest
import torch

from sslbench.api import Batch, DataInfo, methods
from sslbench.nn import Level, pairs
from sslbench.registry import METHODS

CLOSE = {"atol": 1e-5, "rtol": 1e-5, "check_dtype": False}
SELECTED = ["hcsc_step", "hcsc_step_inst_only", "hcsc_step_proto", "hcsc_step_multicrop"]
WARMUP = ["hcsc_step_warmup", "hcsc_step_multicrop_warmup"]


def recorded_levels(arrays):
    levels = []
    while f"cluster/l{len(levels)}/centroids" in arrays:
        at = f"cluster/l{len(levels)}/"
        size = len(arrays[f"{at}centroids"])
        none = torch.zeros(size, dtype=torch.long)
        levels.append(
            Level(
                arrays[f"{at}im2cluster"].long(),
                arrays[f"{at}centroids"],
                arrays[f"{at}density"],
                torch.ones(size, dtype=torch.bool),
                arrays.get(f"{at}cluster2cluster", none).long(),
            )
        )
    return levels


def prototype_draws(arrays, levels, view=""):
    """The recorded uniforms, each at its prototype's column; the other columns take no part."""
    draws = []
    for number, level in enumerate(levels):
        uniforms = arrays.get(f"{view}proto/l{number}/u")
        if uniforms is not None:
            columns = arrays[f"proto/l{number}/neg_id"].long()
            everywhere = torch.full((len(uniforms), len(level.prototypes)), 0.5)
            draws.append(everywhere.index_copy(1, columns, uniforms.float()))
    return draws


def drawn(uniforms):
    """What happens of probabilities (M x K) and rows of them (N) where these are drawn (N x K)."""
    return lambda probability, rows: uniforms < probability[rows]


def instance_draws(arrays):
    keys = sorted(k for k in arrays if k.startswith("inst/") and k.endswith("/u"))
    return [arrays[key].float() for key in keys]


def build(arrays, levels, widths, encoder_class):
    hcsc = methods.get("hcsc")
    semantic = {True: "semantic", False: "all"}
    config = hcsc.Config(
        clusters=tuple(len(level.prototypes) for level in levels) or (4, 2),
        warmup_epochs=0 if levels else 1,
        instance_negatives=semantic["inst/l0/u" in arrays],
        prototype_negatives=semantic["proto/l0/u" in arrays],
        **METHODS.defaults("hcsc")["variants"]["released-code"]["params"],
        **widths(arrays),
    )
    images = len(levels[0].assignment) if levels else int(arrays["index"].max()) + 1
    data = DataInfo(images, len(arrays["index"]), 32, epochs=200, steps_per_epoch=50)
    method = hcsc(encoder_class(arrays["view0"].shape[1]), config, data)
    if levels:
        method.clusters.store(levels)
    return method


@pytest.mark.parametrize("name", SELECTED + WARMUP)
def test_golden_hcsc_takes_the_recorded_step(
    name, golden, widths, batch_norm_encoder, replay, replay_context
):
    arrays = golden(name)
    levels = recorded_levels(arrays)
    assert bool(levels) == (name in SELECTED)
    recorded = replay(build(arrays, levels, widths, batch_norm_encoder), arrays)
    views = [arrays[f"view{n}"] for n in range(len(arrays)) if f"view{n}" in arrays]
    draws = prototype_draws(arrays, levels) + instance_draws(arrays)
    for view in range(len(views) - 2):
        draws += prototype_draws(arrays, levels, f"local{view}/")
    terms = recorded.step(Batch(tuple(views), arrays["index"]), replay_context(uniforms=draws))

    single = arrays.get("inst/loss")
    parts = [arrays[f"inst/l{n}/loss"] for n in range(len(levels))] if single is None else [single]
    torch.testing.assert_close(terms["instance"], torch.stack(parts).sum(), **CLOSE)
    if levels:
        parts = [arrays[f"proto/l{n}/loss"] for n in range(len(levels))]
        torch.testing.assert_close(terms["prototype"], torch.stack(parts).mean(), **CLOSE)
    if len(views) > 2:
        torch.testing.assert_close(terms["local_instance"], arrays["local/inst_loss_sum"], **CLOSE)
    if len(views) > 2 and levels:
        total = arrays["local/proto_loss_sum_over_views_and_levels"]
        torch.testing.assert_close(terms["local_prototype"], total / len(levels), **CLOSE)
    torch.testing.assert_close(sum(terms.values()), arrays["loss_total"], **CLOSE)

    torch.testing.assert_close(*recorded.gradient(arrays["grad_q"]), **CLOSE)
    for view in range(len(views) - 2):
        expected = arrays[f"local{view}/grad_q"]
        torch.testing.assert_close(*recorded.gradient(expected, output=view + 1), **CLOSE)
    queue = recorded.method.queue
    torch.testing.assert_close(queue.features.T, arrays["queue_after"], **CLOSE)
    assert torch.equal(queue.index, arrays["queue_index_after"].long())
    assert queue.pointer == arrays["queue_ptr_after"][0]
    recorded.assert_weights_are()


@pytest.mark.parametrize("name", ["hcsc_step", "hcsc_step_multicrop"])
def test_golden_selection_probabilities(name, golden):
    arrays = golden(name)
    levels = recorded_levels(arrays)
    queue = arrays["queue_before"].T
    for number, level in enumerate(levels):
        cluster = level.assignment[arrays["index"]]
        found = pairs.semantic_instances(level, queue)[cluster]
        recorded = arrays[f"inst/l{number}/p"]
        torch.testing.assert_close(found, recorded, atol=1e-5, rtol=0, check_dtype=False)
        if number + 1 == len(levels):
            continue
        columns = arrays[f"proto/l{number}/neg_id"].long()
        table = pairs.semantic_prototypes(level, levels[number + 1])
        kept = table[level.parents[cluster]][:, columns]
        recorded = arrays[f"proto/l{number}/p"]
        torch.testing.assert_close(kept, recorded, atol=1e-5, rtol=0, check_dtype=False)
