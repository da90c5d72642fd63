"""k-means, concentration and hierarchies against the authors' code and a real faiss run."""

import pytest
import torch

from sslbench.nn import clustering, hierarchical_kmeans, independent_kmeans
from sslbench.nn.clustering import Partition, concentration


def assert_close(ours, recorded, tolerance=1e-5):
    torch.testing.assert_close(ours, recorded, atol=tolerance, rtol=0, check_dtype=False)


def count(arrays, prefix):
    return len({key.split("/")[0] for key in arrays if key.startswith(prefix)})


def recorded(arrays, prefix):
    """A stand-in for k-means: the n-th call answers with the n-th recorded partition."""

    def kmeans(points, clusters, seed, iterations, redo):
        at = f"{prefix}{seed}/"
        assert arrays[f"{at}sqdist"].shape == points.shape[:1]
        assert len(arrays[f"{at}centroids_raw"]) == clusters
        assignment = arrays[f"{at}assign"].long()
        return Partition(arrays[f"{at}centroids_raw"], assignment, arrays[f"{at}sqdist"])

    return kmeans


@pytest.fixture(params=["recorded k-means", "our k-means"])
def partitions(request, monkeypatch):
    """Formulas on the recorded partition; then the whole, which needs the same build of faiss."""

    def use(arrays, prefix):
        if request.param == "recorded k-means":
            monkeypatch.setattr(clustering, "kmeans", recorded(arrays, prefix))

    return use


def test_golden_pcl_clusterings(golden, partitions):
    arrays = golden("pcl_kmeans")
    partitions(arrays, "set")
    levels = independent_kmeans(arrays["features"], arrays["sizes"].tolist(), float(arrays["T"]))
    for number, level in enumerate(levels):
        assert torch.equal(level.assignment, arrays[f"set{number}/im2cluster"])
        assert_close(level.prototypes, arrays[f"set{number}/centroids"])
        assert_close(level.concentration, arrays[f"set{number}/density"])


def test_golden_hcsc_hierarchy(golden, partitions):
    arrays = golden("hcsc_hkmeans")
    partitions(arrays, "l")
    levels = hierarchical_kmeans(arrays["features"], arrays["sizes"].tolist(), float(arrays["T"]))
    for number, level in enumerate(levels):
        assert torch.equal(level.assignment, arrays[f"l{number}/im2cluster"])
        assert_close(level.prototypes, arrays[f"l{number}/centroids"])
        assert_close(level.concentration, arrays[f"l{number}/density"])
        if number + 1 < len(levels):
            assert torch.equal(level.parents, arrays[f"l{number}/cluster2cluster"])


def test_golden_concentration_with_clusters_of_one_and_of_none(golden):
    arrays = golden("hcsc_density_fixed")
    points = arrays["features"]
    for number in range(count(arrays, "l")):
        centroids = arrays[f"l{number}/centroids_raw"]
        assignment = arrays[f"l{number}/assign"]
        distance = (points - centroids[assignment]).square().sum(1)
        everything = torch.ones(len(centroids), dtype=torch.bool)
        ours = concentration(
            Partition(centroids, assignment, distance), everything, float(arrays["T"])
        )
        assert_close(ours, arrays[f"l{number}/density"], 1e-6)
        points = arrays[f"l{number}/centroids"]
