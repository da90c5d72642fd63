"""Methods on a small real encoder: the terms they give, the state they move, the switches."""

import math

import pytest
import torch

from sslbench.api import methods
from sslbench.config import build
from sslbench.errors import ConfigError
from sslbench.nn import Encoder, info_nce, unit
from sslbench.registry import METHODS
from tests.methods.small import DATA, SMALL, SeededContext, image_batch


def make(name, seed=0, **params):
    torch.manual_seed(seed)
    cls = methods.get(name)
    config = build(cls.Config, {"dim": 16, **params}, name)
    return cls(Encoder(SMALL), cls.scaled(config, DATA), DATA)


def unit_rows(count, seed=0):
    return unit(torch.randn(count, 8, generator=torch.Generator().manual_seed(seed)))


def terms(method, epoch=5, views=2, size=16):
    context = SeededContext(method, epoch)
    method.on_epoch_start(context)
    return method.loss(image_batch(views, size), context)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("simclr", {"nt_xent"}, {"nt_xent"}),
        ("moco", {"info_nce"}, {"info_nce"}),
        ("pcl", {"info_nce"}, {"info_nce", "proto_nce"}),
        ("hcsc", {"instance"}, {"instance", "prototype"}),
    ],
)
def test_terms_before_and_after_the_warm_up(name, before, after):
    for epoch, expected in ((0, before), (1, after)):
        method = make(name)
        found = terms(method, epoch)
        assert set(found) == expected
        sum(found.values()).backward()
        for parameter in method.parameters():
            assert (parameter.grad is not None) == parameter.requires_grad
        assert all(term.isfinite() for term in found.values())


@pytest.mark.parametrize("name", ["simclr", "moco", "pcl", "hcsc"])
def test_every_variants_params_resolve_and_give_a_finite_step(name):
    for variant in METHODS.defaults(name)["variants"].values():
        params = dict(variant.get("params", {}))
        if params.get("exclusion") == "batch":  # 16 images would occupy the rule's few clusters
            params["clusters"] = [30, 24, 20]
        if "min_cluster_size" in params:  # 64 images in 6 clusters
            params["min_cluster_size"] = 3
        for term in terms(make(name, **params)).values():
            assert term.isfinite()


def test_the_same_draws_give_the_same_losses():
    for name in ("pcl", "hcsc"):
        one, other = terms(make(name)), terms(make(name))
        assert {k: v.item() for k, v in one.items()} == {k: v.item() for k, v in other.items()}


def test_the_queue_takes_keys_and_their_images_once_per_step():
    for name in ("moco", "pcl", "hcsc"):
        method = make(name)
        terms(method)
        assert method.queue.index[:16].tolist() == list(range(0, 64, 4))
        assert int(method.queue.pointer) == 16 % len(method.queue)


def test_local_views_are_further_queries_of_hcsc():
    found = terms(make("hcsc"), views=4, size=8)
    assert set(found) == {"instance", "prototype", "local_instance", "local_prototype"}
    assert set(terms(make("hcsc"), epoch=0, views=3)) == {"instance", "local_instance"}


@pytest.mark.parametrize(
    "change",
    [
        {"rejected": "zero"},
        {"last_prototype": False},
        {"exclusion": "batch"},
        {"hierarchy": "independent"},
        {"instance_negatives": "all"},
        {"prototype_negatives": "all"},
        {"level_reduction": "sum"},
        {"clusters": [24, 20]},
        {"positives": ["instance"]},
        {"positives": ["prototype"]},
        {"positives": ["nearest", "prototype"]},
    ],
)
def test_each_switch_of_hcsc_changes_the_loss_by_itself(change):
    base = {"clusters": [30, 24, 20]}

    def total(params):
        return sum(v.item() for v in terms(make("hcsc", **{**base, **params})).values())

    assert total(change) != pytest.approx(total({}), abs=1e-6)


def test_discarding_small_clusters_changes_the_loss_or_is_refused():
    def total(**params):
        return sum(v.item() for v in terms(make("hcsc", **params)).values())

    assert total(clusters=[10, 4], min_cluster_size=3) != total(clusters=[10, 4])
    with pytest.raises(ConfigError, match="9 of 10 clusters, not more than the next level's 9"):
        total(clusters=[10, 9], min_cluster_size=3)


def test_the_sum_over_levels_is_the_mean_times_their_number():
    mean, total = (
        terms(make("hcsc", level_reduction=r, clusters=[12, 6, 3]))["instance"].item()
        for r in ("mean", "sum")
    )
    assert total == pytest.approx(3 * mean, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "positives", "expected"),
    [
        ("hcsc", ["instance"], {"instance"}),
        ("hcsc", ["prototype"], {"prototype"}),
        ("hcsc", ["nearest", "prototype"], {"nearest", "prototype"}),
        ("hcsc", ["instance", "nearest"], {"instance", "nearest"}),
        ("pcl", ["prototype"], {"proto_nce"}),
        ("pcl", ["instance"], {"info_nce"}),
    ],
)
def test_positives_decide_the_terms_and_own_keys_are_all_there_is_before_clusters(
    name, positives, expected
):
    warm = {"hcsc": {"instance"}, "pcl": {"info_nce"}}[name]
    assert set(terms(make(name, positives=positives), epoch=0)) == warm
    found = terms(make(name, positives=positives), epoch=5)
    assert set(found) == expected
    sum(found.values()).backward()


def test_the_nearest_key_of_the_queue_is_the_positive_and_no_negative():
    method = make("hcsc", positives=["nearest"], instance_negatives="all", queue_size=24)
    queries = []
    method.head.register_forward_hook(lambda module, given, output: queries.append(output.detach()))
    queue = method.queue.features.clone()
    found = terms(method)["nearest"].item()
    query = torch.nn.functional.normalize(queries[0].double())
    pushed = method.queue.features[:16].double()  # the keys of this step
    total = 0.0
    for own, key in zip(query, pushed, strict=True):
        scores = [float(row @ key) for row in queue.double()]
        nearest = scores.index(max(scores))
        logits = [float(own @ row) / method.config.temperature for row in queue.double()]
        total += math.log(sum(math.exp(logit) for logit in logits)) - logits[nearest]
    assert found == pytest.approx(total / 16, rel=1e-5)


def test_a_rejected_nearest_key_does_not_come_back_as_a_zero():
    query, key = unit_rows(4), unit_rows(4, seed=1)
    queue = unit_rows(6, seed=2)
    itself = torch.tensor([0, 1, 2, 3])
    keep = torch.ones(2, 4, 6, dtype=torch.bool)
    keep[1, torch.arange(4), itself] = False
    one, other = info_nce(query, key, queue, 0.2, keep, "zero", itself)
    plain = info_nce(query, key, queue, 0.2, itself=itself)
    assert one.item() == pytest.approx(plain.item(), rel=1e-6)
    assert other.item() == pytest.approx(plain.item(), rel=1e-6)


@pytest.mark.parametrize("name", ["hcsc", "pcl"])
@pytest.mark.parametrize("positives", [[], ["instance", "instance"], ["own"]])
def test_positives_that_are_none_or_named_twice_or_unknown_are_refused(name, positives):
    with pytest.raises(ConfigError, match="positives"):
        make(name, positives=positives)


def test_one_clustering_of_pcl_is_the_first_of_three():
    assert len(make("pcl", clusterings=1).config.clusters) == 1
    with pytest.raises(ConfigError, match="Nearest that works: 3"):
        make("pcl", clusterings=4)


def test_with_all_keys_counting_the_instance_term_is_mocos_loss():
    moco = terms(make("moco", queue_size=32))["info_nce"].item()
    hcsc = terms(make("hcsc", queue_size=32, instance_negatives="all"))["instance"].item()
    assert hcsc == pytest.approx(moco, rel=1e-6)


def test_pcl_compares_with_all_other_prototypes_where_it_draws_them_all():
    method = make("pcl", clusters=[10, 6])
    context = SeededContext(method)
    method.on_epoch_start(context)
    for level in method.clusters.levels():
        positive = level.assignment[image_batch().index]
        columns, counts = method._negatives(level, positive, context)
        assert sorted(columns.tolist()) == list(range(len(level.kept)))
        assert counts.sum(1).tolist() == [len(level.kept) - 1] * 16


@pytest.mark.parametrize("drawn", [1, 4, 8])
def test_every_query_of_pcl_has_the_same_number_of_negatives(drawn):
    method = make("pcl", clusters=[10, 20], negatives=drawn)
    context = SeededContext(method)
    method.on_epoch_start(context)
    for level in method.clusters.levels():
        positive = level.assignment[image_batch().index]
        columns, counts = method._negatives(level, positive, context)
        assert counts.sum(1).tolist() == [drawn] * 16
        assert not (counts & (columns == positive[:, None])).any()


def test_a_prototype_that_is_never_drawn_costs_no_query_a_negative():
    method = make("pcl", clusters=[10, 20], negatives=4, last_prototype=False)
    context = SeededContext(method)
    method.on_epoch_start(context)
    for level in method.clusters.levels():
        positive = level.assignment[image_batch().index]
        columns, counts = method._negatives(level, positive, context)
        assert counts.sum(1).tolist() == [4] * 16
        assert len(level.prototypes) - 1 not in columns.tolist()


def test_artifacts_are_the_prototypes_and_their_parents():
    method = make("hcsc")
    assert method.artifacts() == {}
    terms(method)
    sizes = method.config.clusters
    found = method.artifacts()
    assert [len(found[f"prototypes_{n}"]) for n in range(3)] == list(sizes)
    assert found["parents_0"].max() < sizes[1]


def test_state_survives_a_checkpoint():
    for name in ("moco", "pcl", "hcsc"):
        method, other = make(name), make(name, seed=1)
        terms(method)
        other.load_state_dict(method.state_dict())
        one, two = (m.loss(image_batch(), SeededContext(m)) for m in (method, other))
        assert {k: v.item() for k, v in one.items()} == {k: v.item() for k, v in two.items()}


@pytest.mark.parametrize("name", ["simclr", "info_nce"])
def test_each_chunk_of_a_split_batch_has_its_images_in_both_views(name):
    whole, split = (Encoder(SMALL.model_copy(update={"bn_splits": n})) for n in (1, 2))
    whole.load_state_dict(split.state_dict())
    cls = methods.get(name)
    method = cls(split, cls.Config(), DATA)
    seen = []
    method.head.register_forward_pre_hook(lambda module, given: seen.append(given[0].detach()))
    batch = image_batch()
    method.loss(batch, SeededContext(method))
    one, other = seen[0].chunk(2)
    for device in torch.arange(16).chunk(2):  # as if each were alone
        alone = whole(torch.cat([view[device] for view in batch.views])).detach()
        found = torch.cat([one[device], other[device]])
        torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-4)
