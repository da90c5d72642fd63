"""Methods on a small real encoder: the terms they give, the state they move, the switches."""

import pytest
import torch

from sslbench.api import Batch, DataInfo, methods
from sslbench.config import build
from sslbench.errors import ConfigError
from sslbench.nn import Encoder, EncoderConfig
from sslbench.registry import METHODS

IMAGES = torch.rand(64, 3, 16, 16, generator=torch.Generator().manual_seed(0))
DATA = DataInfo(images=64, batch_size=16, image_size=16, epochs=10, steps_per_epoch=4)
SMALL = EncoderConfig(
    name="resnet18", stem="small", options={"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8]}
)


class SeededContext:
    """Draws from one generator; ``embed`` as the trainer does it."""

    def __init__(self, method, epoch=5):
        self.method, self.epoch, self.epochs, self.step, self.steps = method, epoch, 10, 0, 40
        self.generator = torch.Generator().manual_seed(7)

    def rand(self, rows, *shape):
        return torch.rand(rows, *shape, generator=self.generator)

    def choice(self, n, k):
        return self.permutation(n)[:k]

    def permutation(self, n):
        return torch.randperm(n, generator=self.generator)

    @torch.no_grad()
    def embed(self, function):
        self.method.eval()
        features = function(IMAGES)
        self.method.train()
        return features

    def log(self, name, value):
        pass


def make(name, seed=0, **params):
    torch.manual_seed(seed)
    cls = methods.get(name)
    config = build(cls.Config, {"dim": 16, **params}, name)
    return cls(Encoder(SMALL), cls.scaled(config, DATA), DATA)


def batch(views=2, size=16):
    index = torch.arange(0, 64, 4)
    images = IMAGES[index]
    local = [images[..., :size, :size]] * (views - 2)
    return Batch((images, images.flip(3), *local), index)


def terms(method, epoch=5, views=2, size=16):
    context = SeededContext(method, epoch)
    method.on_epoch_start(context)
    return method.loss(batch(views, size), context)


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


@pytest.mark.parametrize("name", METHODS.names())
def test_every_variants_params_resolve_and_give_a_finite_step(name):
    if name not in ("simclr", "moco", "pcl", "hcsc"):
        pytest.skip("another method's own tests")
    for variant in METHODS.defaults(name)["variants"].values():
        params = dict(variant.get("params", {}))
        if params.get("exclusion") == "batch":  # 16 images would occupy the rule's few clusters
            params["clusters"] = [30, 24, 20]
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

    assert total(clusters=[30, 4], min_cluster_size=3) != total(clusters=[30, 4])
    with pytest.raises(ConfigError, match="fewer than the next level's 24"):
        total(clusters=[30, 24], min_cluster_size=3)


def test_the_sum_over_levels_is_the_mean_times_their_number():
    mean, total = (
        terms(make("hcsc", level_reduction=r, clusters=[12, 6, 3]))["instance"].item()
        for r in ("mean", "sum")
    )
    assert total == pytest.approx(3 * mean, rel=1e-5)


def test_with_all_keys_counting_the_instance_term_is_mocos_loss():
    moco = terms(make("moco", queue_size=32))["info_nce"].item()
    hcsc = terms(make("hcsc", queue_size=32, instance_negatives="all"))["instance"].item()
    assert hcsc == pytest.approx(moco, rel=1e-6)


def test_pcl_compares_with_all_other_prototypes_where_it_draws_them_all():
    method = make("pcl", clusters=[10, 6])
    context = SeededContext(method)
    method.on_epoch_start(context)
    for level in method.clusters.levels():
        positive = level.assignment[batch().index]
        columns, counts = method._negatives(level, positive, context)
        assert sorted(columns.tolist()) == list(range(len(level.kept)))
        assert counts.sum(1).tolist() == [len(level.kept) - 1] * 16


@pytest.mark.parametrize("drawn", [1, 4, 8])
def test_every_query_of_pcl_has_the_same_number_of_negatives(drawn):
    method = make("pcl", clusters=[10, 20], negatives=drawn)
    context = SeededContext(method)
    method.on_epoch_start(context)
    for level in method.clusters.levels():
        positive = level.assignment[batch().index]
        columns, counts = method._negatives(level, positive, context)
        assert counts.sum(1).tolist() == [drawn] * 16
        assert not (counts & (columns == positive[:, None])).any()


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
        one, two = (m.loss(batch(), SeededContext(m)) for m in (method, other))
        assert {k: v.item() for k, v in one.items()} == {k: v.item() for k, v in two.items()}
