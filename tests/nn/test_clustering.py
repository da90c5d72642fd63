import math
from itertools import pairwise

import pytest
import torch

from sslbench.errors import ConfigError, Diverged
from sslbench.nn import Clusters, hierarchical_kmeans, independent_kmeans, kmeans, unit
from sslbench.nn.clustering import Partition, concentration


def blobs(centres, each, spread=0.02, seed=0):
    """Unit rows around unit centres: centres x each rows, blob by blob."""
    generator = torch.Generator().manual_seed(seed)
    noise = spread * torch.randn(len(centres) * each, centres.shape[1], generator=generator)
    return unit(centres.repeat_interleave(each, 0) + noise)


def same_groups(one, other):
    """Whether two assignments are equal up to the clusters' names."""
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


def test_kmeans_finds_separated_blobs_without_printing(capfd):
    truth = torch.arange(6).repeat_interleave(9)  # fewer than faiss' 10 per cluster
    found = kmeans(blobs(torch.eye(6), 9), 6, seed=0)
    assert same_groups(found.assignment, truth)
    assert capfd.readouterr() == ("", "")


def test_kmeans_is_the_same_twice_and_its_distances_are_squared():
    points = blobs(torch.eye(5), 20, spread=0.5)
    one, other = kmeans(points, 7, seed=3), kmeans(points, 7, seed=3)
    assert torch.equal(one.centroids, other.centroids)
    expected = (points - one.centroids[one.assignment]).square().sum(1)
    torch.testing.assert_close(one.distance, expected, atol=1e-5, rtol=1e-4)
    nearest = torch.cdist(points, one.centroids).argmin(1)
    assert torch.equal(nearest, one.assignment)


def test_kmeans_refuses_more_clusters_than_points_and_points_that_are_not_finite():
    with pytest.raises(ConfigError, match="4 points into 5 clusters"):
        kmeans(torch.eye(4), 5, seed=0)
    with pytest.raises(Diverged, match="not finite"):
        kmeans(torch.full((4, 2), math.nan), 2, seed=0)


def test_concentration_is_the_papers_formula_where_nothing_is_clipped():
    assignment = torch.tensor([0, 0, 1, 1, 1])
    distance = torch.tensor([0.04, 0.16, 0.25, 0.25, 0.25])
    everything = torch.ones(2, dtype=torch.bool)
    found = concentration(Partition(torch.zeros(2, 3), assignment, distance), everything, 0.2)
    raw = [0.3 / math.log(12), 0.5 / math.log(13)]
    low, high = (min(raw) + share * (max(raw) - min(raw)) for share in (0.1, 0.9))
    clipped = [max(low, min(high, value)) for value in raw]
    expected = [0.2 * value / (sum(clipped) / 2) for value in clipped]
    assert found.tolist() == pytest.approx(expected, rel=1e-6)


def test_clusters_of_one_point_each_have_no_concentration():
    with pytest.raises(ConfigError, match="Use fewer clusters"):
        independent_kmeans(torch.eye(4), [4], 0.2)


@pytest.mark.parametrize("clustering", [hierarchical_kmeans, independent_kmeans])
@pytest.mark.parametrize("noise", [0.0, 1e-6])
def test_features_that_are_all_equal_are_a_collapse_and_no_clusters(clustering, noise):
    moved = noise * torch.randn(200, 16, generator=torch.Generator().manual_seed(0))
    with pytest.raises(Diverged, match=r"200 features to cluster are all equal.*collapsed"):
        clustering(unit(torch.ones(1, 16) + moved), [10, 5], 0.2)


@pytest.mark.parametrize("clusters", [8, 10, 30])
def test_copies_that_fill_every_cluster_are_refused_though_faiss_splits_them(clusters):
    copies = unit(torch.randn(8, 16, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(ConfigError, match=f"{clusters} clusters of 200 points have no spread"):
        independent_kmeans(copies.repeat_interleave(25, 0), [clusters], 0.2)


def test_more_than_a_tenth_of_clusters_of_copies_have_concentration_0_and_are_refused():
    loose = blobs(torch.eye(16)[:6], 20, spread=0.1)
    copies = torch.eye(16)[6:10].repeat_interleave(20, 0)
    with pytest.raises(ConfigError, match="4 of 10 clusters hold nothing but equal points"):
        independent_kmeans(torch.cat([loose, copies]), [10], 0.2)


def test_a_few_clusters_of_copies_get_the_concentration_of_the_tenth_percentile():
    loose = blobs(torch.eye(32)[:24], 20, spread=0.1)
    copies = torch.eye(32)[24:25].repeat_interleave(20, 0)
    (level,) = independent_kmeans(torch.cat([loose, copies]), [25], 0.2)
    found = level.concentration[level.assignment[-1]]
    assert found == level.concentration.min()
    assert found > 0.1
    assert level.concentration.mean() == pytest.approx(0.2, rel=1e-5)


def test_an_upper_level_of_one_prototype_per_cluster_is_refused():
    with pytest.raises(ConfigError, match="not more than the next level's 6"):
        hierarchical_kmeans(families()[0], [6, 6], 0.2)


def test_one_cluster_of_two_points_among_single_ones_is_enough_for_a_concentration():
    near = unit(torch.tensor([[1.0, 0.2, 0.0, 0.0]]))
    (level,) = independent_kmeans(torch.cat([torch.eye(4), near]), [4], 0.2)
    torch.testing.assert_close(level.concentration, torch.full((4,), 0.2))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_one_feature_that_is_not_finite_is_enough_to_stop(value):
    features, _, _ = families()
    features[3, 2] = value
    with pytest.raises(Diverged, match="not finite"):
        hierarchical_kmeans(features, [6, 2], 0.2)


def families():
    """Two families of three kinds of 12 images, and each image's kind and family."""
    centres = torch.zeros(6, 8)
    for kind in range(6):
        centres[kind, kind // 3] = 2.0
        centres[kind, 2 + kind] = 1.0
    kind = torch.arange(6).repeat_interleave(12)
    return blobs(unit(centres), 12), kind, kind // 3


@pytest.mark.parametrize("clustering", [hierarchical_kmeans, independent_kmeans])
def test_a_hierarchy_finds_kinds_and_their_families(clustering):
    features, kind, family = families()
    fine, coarse = clustering(features, [6, 2], 0.2)
    assert same_groups(fine.assignment, kind)
    assert same_groups(coarse.assignment, family)
    assert torch.equal(fine.parents[fine.assignment], coarse.assignment)
    for level in (fine, coarse):
        torch.testing.assert_close(level.prototypes.norm(dim=1), torch.ones(len(level.kept)))
        assert level.concentration.mean() == pytest.approx(0.2, rel=1e-5)
        assert level.kept.all()


def test_an_images_upper_cluster_is_its_clusters_parent():
    features = unit(torch.randn(300, 16, generator=torch.Generator().manual_seed(0)))
    levels = hierarchical_kmeans(features, [40, 20, 10], 0.2)
    for lower, upper in pairwise(levels):
        assert torch.equal(lower.parents[lower.assignment], upper.assignment)


@pytest.mark.parametrize("clustering", [hierarchical_kmeans, independent_kmeans])
def test_small_clusters_are_discarded_and_their_images_go_to_the_nearest_left(clustering):
    centres = torch.eye(5)
    centres[4] = unit(torch.tensor([[1.0, 0.0, 0.0, 0.0, 0.8]]))[0]  # a few images beside blob 0
    features = torch.cat([blobs(centres[:4], 20), blobs(centres[4:], 3)])
    fine, coarse = clustering(features, [5, 2], 0.2, min_size=10)
    assert fine.kept.sum() == 4
    assert fine.kept[fine.assignment].all()
    assert (fine.assignment[80:] == fine.assignment[0]).all()
    assert not fine.prototypes[~fine.kept].any()
    assert fine.concentration[fine.kept].mean() == pytest.approx(0.2, rel=1e-5)
    assert fine.concentration.isfinite().all()
    assert coarse.kept[coarse.assignment].all()
    if clustering is hierarchical_kmeans:
        assert torch.equal(fine.parents[fine.assignment], coarse.assignment)


def test_discarding_all_but_one_cluster_is_refused():
    with pytest.raises(ConfigError, match="min_cluster_size = 50 leaves 0 of 4"):
        hierarchical_kmeans(blobs(torch.eye(4), 20), [4, 2], 0.2, min_size=50)


def test_clusters_keep_their_shapes_and_come_back_from_a_checkpoint():
    features, _, _ = families()
    clusters, other = Clusters(72, [6, 2], 8), Clusters(72, [6, 2], 8)
    shapes = {name: buffer.shape for name, buffer in clusters.state_dict().items()}
    assert clusters.artifacts() == {}
    levels = hierarchical_kmeans(features, [6, 2], 0.2)
    clusters.store(levels)
    assert {name: buffer.shape for name, buffer in clusters.state_dict().items()} == shapes
    other.load_state_dict(clusters.state_dict())
    for stored, level in zip(other.levels(), levels, strict=True):
        for name in ("assignment", "prototypes", "concentration", "kept", "parents"):
            assert torch.equal(getattr(stored, name), getattr(level, name))
    assert set(other.artifacts()) == {"prototypes_0", "prototypes_1", "parents_0", "parents_1"}


def test_spherical_kmeans_goes_by_cosine_and_keeps_its_centroids_at_length_1():
    points = blobs(torch.eye(5), 20, spread=0.5)
    length = 1 + 9 * torch.rand(100, 1, generator=torch.Generator().manual_seed(1))
    one, other = (kmeans(p, 7, seed=3, redo=1, spherical=True) for p in (points, length * points))
    assert torch.equal(one.assignment, other.assignment)  # a point's length does not count
    torch.testing.assert_close(one.centroids.norm(dim=1), torch.ones(7))
    cosine = points @ one.centroids.T
    assert torch.equal(cosine.argmax(1), one.assignment)
    torch.testing.assert_close(one.distance, 2 - 2 * cosine.amax(1), atol=1e-5, rtol=0)
    squared = (points - one.centroids[one.assignment]).square().sum(1)
    torch.testing.assert_close(one.distance, squared, atol=1e-5, rtol=0)


def test_spherical_centroids_are_the_means_of_their_points_at_length_1():
    points = blobs(torch.eye(6), 9)
    found = kmeans(points, 6, seed=0, iterations=10, redo=5, spherical=True)
    assert same_groups(found.assignment, torch.arange(6).repeat_interleave(9))
    for cluster, centroid in enumerate(found.centroids):
        mean = points[found.assignment == cluster].mean(0)
        torch.testing.assert_close(centroid, mean / mean.norm(), atol=1e-5, rtol=0)


def test_spherical_kmeans_refuses_points_of_one_direction():
    with pytest.raises(Diverged, match="all equal"):
        kmeans(torch.arange(1.0, 9)[:, None] * torch.ones(8, 3), 2, seed=0, spherical=True)
