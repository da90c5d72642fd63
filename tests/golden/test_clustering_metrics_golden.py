"""Agreement of clusters with classes against HIRL's evaluation of clusterings."""

import pytest

from sslbench.metrics.clustering import (
    adjusted_mutual_information,
    matched_accuracy,
    normalized_mutual_information,
)


@pytest.mark.parametrize(
    ("name", "metric", "unit"),
    [
        ("nmi", normalized_mutual_information, 1),
        ("ami", adjusted_mutual_information, 1),
        ("acc", matched_accuracy, 100),
    ],
)
def test_golden_agreement_of_clusters(golden, name, metric, unit):
    arrays = golden("clustering_metrics")
    ours = metric(arrays["labels"].numpy(), arrays["pred"].numpy())
    assert ours == pytest.approx(unit * arrays[name].item(), abs=1e-9, rel=0)
