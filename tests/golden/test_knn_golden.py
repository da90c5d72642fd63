"""The weighted vote against the released evaluation of HCSC, which is DINO's."""

import pytest
import torch

from sslbench.benchmarks.knn import KNN, ranked_classes
from sslbench.metrics.accuracy import prediction_table
from sslbench.nn.search import nearest


@pytest.mark.parametrize("neighbours", [1, 10, 20, 100, 200])
def test_golden_knn_accuracy_is_exact(golden, neighbours):
    arrays = golden("knn")
    similarity, position = nearest(
        arrays["test_feats"], arrays["train_feats"], 200, torch.device("cpu")
    )
    ranked = ranked_classes(
        similarity,
        arrays["train_labels"][position],
        int(arrays["num_classes"]),
        (1, 10, 20, 100, 200),
        float(arrays["T"]),
    )
    columns = {"ranked": ranked[neighbours].numpy(), f"k{neighbours}": ranked[neighbours].numpy()}
    scores = KNN.score(prediction_table(arrays["test_labels"].numpy(), columns))
    top1, top5 = arrays[f"k{neighbours}/top1_top5"].tolist()
    assert scores == pytest.approx(
        {"top1": top1, "top5": top5, f"top1_k{neighbours}": top1}, abs=1e-12
    )
