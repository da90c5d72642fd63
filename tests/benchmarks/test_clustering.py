"""Clusters at every level of labels: which, of what, chosen how, and named how."""

from types import SimpleNamespace

import faiss
import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.nn.functional import normalize

from sslbench.api import NotApplicable, Subject
from sslbench.benchmarks.clustering import Clustering, ClusteringConfig
from sslbench.config import build
from sslbench.data.spec import DatasetSpec
from sslbench.errors import ConfigError, Interrupted
from sslbench.metrics.clustering import adjusted_mutual_information, matched_accuracy
from sslbench.nn import head_artifacts, mlp
from sslbench.nn.clustering import kmeans
from sslbench.protocols import resolve_evaluation
from sslbench.stats.items import ItemRows, score_intervals
from sslbench.suite import EvaluationEntry


def spec_of(*levels, images=None):
    return DatasetSpec.model_validate(
        {
            "name": "toy",
            "source": "rendered",
            "splits": {"train": images, "test": images},
            "levels": tuple({"name": name, "classes": n} for name, n in levels),
        },
        strict=False,
    )


TWO = (("species", 6), ("family", 3))


def families(n, spread, seed):
    """Six blobs in three pairs; labels are of blob and pair."""
    pairs = torch.eye(8)[[0, 0, 1, 1, 2, 2]] * 4 + torch.eye(8)[2:8]
    draws = torch.Generator().manual_seed(seed)
    species = torch.arange(n) % 6
    points = pairs[species] + spread * torch.randn(n, 8, generator=draws)
    return points, torch.stack([species, species // 2], 1)


def prototypes_of(points, sizes):
    """As a method leaves them whose head is one linear layer that changes nothing."""
    head = mlp(8, 8)
    with torch.no_grad():
        head[0].weight.copy_(torch.eye(8))
        head[0].bias.zero_()
    levels = {
        f"prototypes_{n}": normalize(kmeans(normalize(points), size, n).centroids)
        for n, size in enumerate(sizes)
    }
    return {**levels, **head_artifacts(head)}


@pytest.fixture
def clustered(given):
    """Runs on points and labels of train and test; the outcome."""

    def run(config, train, test=None, levels=TWO, artifacts=(), context=None):
        dataset = SimpleNamespace(spec=spec_of(*levels))
        context = context or given(train, test or train)
        context.log = lambda name, value: None
        return Clustering(config).run(Subject(None, dict(artifacts)), dataset, context)

    return run


def test_at_every_level_there_are_as_many_clusters_as_classes(clustered):
    outcome = clustered(ClusteringConfig(), families(300, 0.1, 0))
    scores = Clustering.score(outcome.table)
    kinds = ("ami", "nmi", "ari", "accuracy")
    assert list(scores) == [*kinds, *(f"{kind}_family" for kind in kinds)]
    assert scores == pytest.approx(dict.fromkeys(scores, 100.0))
    assert [m.name for m in Clustering(ClusteringConfig()).metrics_of(outcome.table)] == list(
        scores
    )
    assert outcome.chosen == {}


def test_scores_are_the_library_s_of_faiss_s_clusters_of_unit_features(clustered):
    x, y = families(400, 1.5, 0)
    outcome = clustered(ClusteringConfig(clusters=(5,), restarts=1), (x, y))
    clusters = outcome.table["cluster_k5"].to_numpy()
    rows = normalize(x).numpy()
    means = np.stack([rows[clusters == k].mean(0) for k in range(5)])
    _, nearest = faiss.knn(rows, means, 1)
    assert (nearest[:, 0] == clusters).mean() > 0.98  # converged, near enough
    scores = Clustering.score(outcome.table)
    for level, name in ((0, "ami"), (1, "ami_k5_family")):
        wanted = 100 * adjusted_mutual_information(y[:, level].numpy(), clusters)
        assert scores[name] == pytest.approx(wanted)
    assert "accuracy" not in scores  # five clusters of six classes


def test_accuracy_is_after_the_best_assignment(clustered):
    x, y = families(400, 1.5, 0)
    table = clustered(ClusteringConfig(restarts=1), (x, y)).table
    for level, name, suffix in ((0, "species", ""), (1, "family", "_family")):
        clusters = table[f"cluster_{name}"].to_numpy()
        wanted = matched_accuracy(y[:, level].numpy(), clusters)
        assert Clustering.score(table)[f"accuracy{suffix}"] == pytest.approx(wanted)


def test_test_images_are_clustered_unless_the_setting_says_train(clustered, given):
    train, test = families(300, 0.2, 0), families(120, 0.2, 1)
    for split, rows in (("test", 120), ("train", 300)):
        context, config = given(train, test), ClusteringConfig(split=split, restarts=1)
        assert clustered(config, train, context=context).table.num_rows == rows
        assert context.asked == [split]
        assert Clustering(config).split == split


def test_the_start_that_is_kept_has_the_least_inertia_whatever_the_labels(clustered):
    x, y = families(300, 1.5, 0)
    single = [
        kmeans(normalize(x), 6, seed, iterations=1, redo=1).distance.sum().item()
        for seed in range(20)
    ]
    assert max(single) > 1.01 * min(single)
    config = ClusteringConfig(clusters=(6,), iterations=1, restarts=8)
    table = clustered(config, (x, y)).table
    clusters = table["cluster_k6"].to_numpy()
    rows = normalize(x).numpy()
    means = np.stack([rows[clusters == k].mean(0) for k in range(6)])
    assert ((rows - means[clusters]) ** 2).sum() < np.quantile(single, 0.5)
    shuffled = y[torch.randperm(300, generator=torch.Generator().manual_seed(0))]
    other = clustered(config, (x, shuffled)).table
    assert other["cluster_k6"].equals(table["cluster_k6"])


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_stopped_and_resumed_equals_never_stopped(clustered, given, stop):
    data = families(200, 1.5, 0)
    config = ClusteringConfig(restarts=3)
    whole = clustered(config, data).table
    context = given(data, data)
    context.stop = stop
    with pytest.raises(Interrupted):
        clustered(config, data, context=context)
    assert clustered(config, data, context=context).table.equals(whole)
    assert context.seen == [(done, 6) for done in range(1, 7)]


def test_prototypes_are_compared_level_by_level_in_all_pairs(clustered):
    train, test = families(300, 0.2, 0), families(120, 0.2, 1)
    artifacts = prototypes_of(train[0], (12, 6, 3))
    config = ClusteringConfig(source="prototypes")
    outcome = clustered(config, train, test, artifacts=artifacts)
    scores = Clustering.score(outcome.table)
    amis = {name for name in scores if name.startswith("ami")}
    pairs = {f"ami_prototypes_{n}_{level}" for n in range(3) for level in ("species", "family")}
    assert amis == pairs - {"ami_prototypes_0_species"} | {"ami"}
    assert scores["ami_prototypes_1_species"] == pytest.approx(100)
    assert scores["ami_prototypes_2_family"] == pytest.approx(100)
    assert 50 < scores["ami"] < 99  # twice as many prototypes as species
    cosines = normalize(test[0]) @ artifacts["prototypes_0"].T
    found = outcome.table["cluster_prototypes_0"].to_numpy()
    np.testing.assert_array_equal(found, cosines.argmax(1).numpy())


def test_without_prototypes_it_does_not_apply(clustered):
    with pytest.raises(NotApplicable, match="there are no prototypes"):
        clustered(ClusteringConfig(source="prototypes"), families(60, 0.2, 0))


def test_random_clusters_score_nothing_but_nmi(clustered):
    x, _ = families(600, 0.2, 0)
    labels = torch.randint(6, (600, 1), generator=torch.Generator().manual_seed(1))
    table = clustered(ClusteringConfig(clusters=(40,)), (x, labels), levels=TWO[:1]).table
    scores = Clustering.score(table)
    assert abs(scores["ami"]) < 3
    assert abs(scores["ari"]) < 1
    assert scores["nmi"] > 3


def test_features_that_are_all_equal_are_one_cluster(clustered):
    _, y = families(120, 0.2, 0)
    scores = Clustering.score(clustered(ClusteringConfig(), (torch.ones(120, 8), y)).table)
    assert scores["ami"] == scores["ari"] == scores["nmi"] == 0
    assert scores["accuracy"] == pytest.approx(100 / 6)


def test_intervals_are_of_halves_and_hold_the_score(clustered):
    table = clustered(ClusteringConfig(), families(400, 1.2, 0)).table
    order = np.random.default_rng(0).permutation(400)
    found = [
        score_intervals(
            ItemRows(rows), Clustering.score, None, Clustering.resampler(rows), halves=True
        )
        for rows in (table, table.take(pa.array(order)))
    ]
    scores = Clustering.score(table)
    assert "200 half-samples of 400" in found[0].how
    for name, (low, high) in found[0].intervals.items():
        assert low < scores[name] < high
        assert high - low < 20
        assert found[1].intervals[name] == pytest.approx((low, high))


def test_blocks_and_a_file_of_unit_rows_change_nothing(clustered, monkeypatch):
    data = families(200, 1.5, 0)
    whole = clustered(ClusteringConfig(), data).table
    monkeypatch.setattr("sslbench.nn.unit_rows.BLOCK", 7)
    monkeypatch.setattr("sslbench.nn.unit_rows.HELD_BYTES", 0)
    monkeypatch.setattr("sslbench.nn.prototypes._BLOCK", 7)
    assert clustered(ClusteringConfig(), data).table.equals(whole)


def test_more_clusters_than_images_are_known_before_anything_is_trained():
    many = Clustering(ClusteringConfig(clusters=(500,)))
    assert many.unsupported(None, spec_of(*TWO, images=500)) is None
    assert many.unsupported(None, spec_of(*TWO)) is None
    reason = many.unsupported(None, spec_of(*TWO, images=499))
    assert reason == "500 clusters of 499 test images of toy"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clusters": [1]}, "expected numbers from 2 on"),
        ({"clusters": [5, 5]}, "names one twice"),
        ({"clusters": [5], "source": "prototypes"}, "prototypes are as many as they are"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        build(ClusteringConfig, settings, "clustering")


def test_named_settings_are_those_of_the_papers():
    def resolved(name):
        entry = EvaluationEntry(protocol=f"clustering@{name}", dataset="imagenet")
        return resolve_evaluation("it", entry, {}, 224).settings

    assert resolved("hirl") == ClusteringConfig().hashed()
    assert (resolved("pcl")["clusters"], resolved("pcl")["split"]) == ([25000], "train")
    assert resolved("prototypes")["source"] == "prototypes"
