"""How well clusters agree with classes, by scikit-learn and scipy.

Information: Vinh et al., "Information Theoretic Measures for Clusterings Comparison", JMLR 11, 2010
(NMI, AMI; both divided by the arithmetic mean of the two entropies). Pairs: Hubert and Arabie,
"Comparing Partitions", Journal of Classification 2, 1985 (ARI). Accuracy after the best assignment
of clusters to classes: Kuhn, "The Hungarian Method", Naval Research Logistics 2, 1955; so in HIRL
(arXiv:2205.13159).

No score depends on what clusters or classes are called, nor on the order of the items.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn import metrics

from sslbench.errors import DataError

Ints = NDArray[np.integer]


def normalized_mutual_information(classes: Ints, clusters: Ints) -> float:
    """NMI of two labellings (N each): 0 independent, 1 the same partition.

    Grows with the number of clusters even if they are drawn at random. One cluster of several
    classes scores 0. Raises DataError if the two do not fit.
    """
    _check(classes, clusters)
    return float(
        metrics.normalized_mutual_info_score(classes, clusters, average_method="arithmetic")
    )


def adjusted_mutual_information(classes: Ints, clusters: Ints) -> float:
    """AMI of two labellings (N each): 1 the same partition, 0 expected of random clusters.

    May be negative; one cluster of several classes scores 0. Raises DataError if the two do not
    fit.
    """
    _check(classes, clusters)
    return float(metrics.adjusted_mutual_info_score(classes, clusters, average_method="arithmetic"))


def adjusted_rand_index(classes: Ints, clusters: Ints) -> float:
    """ARI of two labellings (N each): 1 the same partition, 0 expected of random clusters.

    May be negative, down to -0.5; one cluster of several classes scores 0. Raises DataError if the
    two do not fit.
    """
    _check(classes, clusters)
    return float(metrics.adjusted_rand_score(classes, clusters))


def matched_accuracy(classes: Ints, clusters: Ints) -> float:
    """The share of items, in percent, whose cluster is assigned to their class (N each).

    Of all assignments of at most one cluster to a class and one class to a cluster, the best. So
    with more clusters than classes some clusters have no class, and none of their items counts as
    right; with fewer, some classes have no cluster. Raises DataError if the two do not fit.
    """
    _check(classes, clusters)
    shared = metrics.cluster.contingency_matrix(classes, clusters)  # classes x clusters, counts
    rows, columns = linear_sum_assignment(shared, maximize=True)
    return float(100 * shared[rows, columns].sum() / len(classes))


def _check(classes: Ints, clusters: Ints) -> None:
    for name, labels in (("classes", classes), ("clusters", clusters)):
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            raise DataError(
                f"{name}: a whole number per item expected, given {labels.dtype} of shape "
                f"{labels.shape}"
            )
    if len(classes) != len(clusters) or len(classes) == 0:
        raise DataError(
            f"a class and a cluster per item expected, given {len(classes)} classes and "
            f"{len(clusters)} clusters"
        )
