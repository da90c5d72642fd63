"""DeepCluster v2: its loss against a loop, its banks and clusters, what planning refuses."""

import math
from types import SimpleNamespace

import pytest
import torch

from sslbench.api import Batch, DataInfo, methods
from sslbench.config import build
from sslbench.errors import ConfigError
from sslbench.methods.deepcluster import cluster_prediction
from sslbench.nn import Encoder, kmeans, unit
from sslbench.registry import METHODS
from tests.methods.small import DATA, IMAGENET, IMAGES, SMALL, image_batch


def scaled(data=DATA, **params):
    cls = methods.get("deepcluster")
    return cls.scaled(build(cls.Config, params, "deepcluster"), data)


def make(**params):
    torch.manual_seed(0)
    config = scaled(**{"dim": 16, "clusters": [6, 5, 6], **params})
    return methods.get("deepcluster")(Encoder(SMALL), config, DATA)


def at(method, epoch=0):
    calls = []

    @torch.no_grad()
    def embed(function):
        calls.append(epoch)
        method.eval()
        features = function(IMAGES)
        method.train()
        return features

    return SimpleNamespace(epoch=epoch, embed=embed, calls=calls)


def rows(count, dim=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return unit(torch.randn(count, dim, generator=generator, dtype=torch.float64))


def loop(views, prototypes, assignment, temperature):
    total = 0.0
    for view in views:
        for row, own in zip(view, assignment.tolist(), strict=True):
            logits = [
                sum(float(x) * float(y) for x, y in zip(row, other, strict=True)) / temperature
                for other in prototypes
            ]
            largest = max(logits)
            total += largest + math.log(sum(math.exp(v - largest) for v in logits)) - logits[own]
    return total / len(views) / len(assignment)


@pytest.mark.parametrize("temperature", [0.01, 0.1, 10.0])
@pytest.mark.parametrize("views", [1, 4])
@pytest.mark.parametrize("prototypes", [2, 7])  # 2: a single negative
def test_the_loss_equals_a_loop(prototypes, views, temperature):
    embeddings = [rows(4, seed=view) for view in range(views)]
    centroids, assignment = rows(prototypes, seed=9), torch.tensor([0, 1, 1, prototypes - 1])
    found = cluster_prediction(embeddings, centroids, assignment, temperature)
    assert found.dtype == torch.float64
    expected = loop(embeddings, centroids, assignment, temperature)
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_bfloat16_embeddings_give_a_float32_loss_nearby():
    embeddings, centroids = [rows(16, seed=s).float() for s in range(2)], rows(7, seed=9).float()
    assignment = torch.arange(16) % 7
    exact = cluster_prediction(embeddings, centroids, assignment, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        found = cluster_prediction([e.bfloat16() for e in embeddings], centroids, assignment, 0.1)
    assert found.dtype == torch.float32
    # Each number is off by 2 ** -9 of itself, so a cosine by so much at most and a logit by 0.02.
    assert float(found) == pytest.approx(float(exact), abs=0.04)


def test_a_single_prototype_is_refused():
    with pytest.raises(ConfigError, match="with 1 prototypes is always 0"):
        cluster_prediction([rows(4)], rows(1), torch.zeros(4, dtype=torch.long), 0.1)


def test_the_first_epoch_embeds_the_training_set_once_and_later_ones_never():
    method = make()
    first = at(method)
    method.on_epoch_start(first)
    assert first.calls == [0]
    centre = unit(first.embed(lambda images: method.head(method.encoder(images))))
    for bank in method.banks:
        torch.testing.assert_close(bank.features, centre, atol=1e-5, rtol=0)
    later = at(method, 1)
    method.on_epoch_start(later)
    assert later.calls == []


def test_a_step_replaces_the_rows_of_its_images_in_the_bank_of_each_full_view():
    method = make()
    method.on_epoch_start(at(method))
    before = [bank.features.clone() for bank in method.banks]
    method.loss(image_batch(4), at(method))
    seen = torch.zeros(64, dtype=torch.bool)
    seen[::4] = True
    for bank, old in zip(method.banks, before, strict=True):
        assert torch.equal(bank.features[~seen], old[~seen])
        assert (bank.features[seen] != old[seen]).any(1).all()
        torch.testing.assert_close(bank.features.norm(dim=1), torch.ones(64))
    one, other = method.banks
    assert (one.features[seen] != other.features[seen]).any(1).all()


def test_each_head_clusters_the_bank_of_its_view_by_cosine():
    method = make()
    method.on_epoch_start(at(method))
    method.loss(image_batch(), at(method))
    method.on_epoch_start(at(method, 1))
    for head, level in enumerate(method.clusters.levels()):
        bank = method.banks[head % 2].features
        size = method.config.clusters[head]
        expected = kmeans(bank, size, seed=head, iterations=10, redo=1, spherical=True)
        assert torch.equal(level.assignment, expected.assignment)
        torch.testing.assert_close(level.prototypes, expected.centroids)
        torch.testing.assert_close(level.prototypes.norm(dim=1), torch.ones(size))
        torch.testing.assert_close(level.concentration, torch.ones(size))
        assert level.kept.all()
    assert not torch.equal(method.clusters.assignment[0], method.clusters.assignment[2])


def test_the_term_is_the_mean_over_heads_of_every_views_prediction():
    method = make()
    method.on_epoch_start(at(method))
    given = image_batch(4)
    terms = method.loss(given, at(method))
    assert set(terms) == {"cluster_prediction"}
    heads = []
    with torch.no_grad():
        views = torch.cat(given.views[:2]), torch.cat(given.views[2:])
        features = [method.encoder(view).chunk(2) for view in views]
        embeddings = unit(method.head(torch.cat([*features[0], *features[1]]))).chunk(4)
        for level in method.clusters.levels():
            own = level.assignment[given.index]
            heads.append(cluster_prediction(embeddings, level.prototypes, own, 0.1).item())
    assert terms["cluster_prediction"].item() == pytest.approx(sum(heads) / 3, abs=1e-4)


def test_gradients_reach_encoder_and_head_and_there_is_nothing_else_to_learn():
    method = make()
    method.on_epoch_start(at(method))
    method.loss(image_batch(), at(method))["cluster_prediction"].backward()
    assert all(parameter.grad.isfinite().all() for parameter in method.parameters())
    assert {name.split(".")[0] for name, _ in method.named_parameters()} == {"encoder", "head"}


def test_equal_images_in_a_batch_give_a_finite_step():
    method = make()
    method.on_epoch_start(at(method))
    views = tuple(view[:1].expand(16, -1, -1, -1) for view in image_batch().views)
    assert method.loss(Batch(views, torch.arange(16)), at(method))["cluster_prediction"].isfinite()


def test_artifacts_are_the_prototypes_of_each_clustering_and_the_head():
    method = make()
    assert method.artifacts() == {}
    method.on_epoch_start(at(method))
    found = method.artifacts()
    head = {name for name in found if name.startswith("head.")}
    assert head == {f"head.{name}" for name in method.head.state_dict()}
    assert {name: len(value) for name, value in found.items() if name not in head} == {
        "prototypes_0": 6,
        "prototypes_1": 5,
        "prototypes_2": 6,
    }


def test_state_keeps_its_shapes():
    method = make()
    shapes = {name: value.shape for name, value in method.state_dict().items()}
    method.on_epoch_start(at(method))
    method.loss(image_batch(), at(method))
    assert {name: value.shape for name, value in method.state_dict().items()} == shapes


def test_the_rules_give_the_papers_clusters_at_imagenets_size_and_fit_smaller_data():
    assert scaled(IMAGENET).clusters == (3000, 3000, 3000)
    assert scaled(DataInfo(1_281_167, 4096, 224, 800, 312)).clusters == (3000, 3000, 3000)
    assert scaled(DataInfo(8000, 256, 32, 16, 31)).clusters == (384, 384, 384)
    for images in (16, 40, 200):
        data = DataInfo(images, 8, 32, 3, images // 8)
        config = scaled(data)
        assert all(2 <= size < images for size in config.clusters)
        build(type(config), config.hashed(), "deepcluster")
        assert methods.get("deepcluster").scaled(config, data) == config


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"clusters": [1, 10]}, r"clusters = \[1, 10\].*Nearest: \[2, 10\]"),
        ({"clusters": [10, 64]}, r"Nearest: \[10, 63\]"),
        ({"clusters": []}, r"Nearest: \[2\]"),
        ({"temperature": 0.0}, "temperature"),
        ({"iterations": 0}, "iterations"),
    ],
)
def test_planning_refuses_what_cannot_work_and_names_what_does(params, message):
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        scaled(**params)


def test_every_variant_gives_a_finite_step():
    for entry in METHODS.defaults("deepcluster")["variants"].values():
        method = make(**entry.get("params", {}))
        method.on_epoch_start(at(method))
        assert method.loss(image_batch(8, size=7), at(method))["cluster_prediction"].isfinite()
