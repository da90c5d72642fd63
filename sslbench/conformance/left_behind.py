"""What a clustering method would leave beside an encoder, for evaluations that ask for it."""

from collections.abc import Mapping

import torch
from torch import Tensor

from sslbench.data.datasets import LabelledDataset
from sslbench.data.loaders import embed_batches
from sslbench.nn import Clusters, Encoder, head_artifacts, hierarchical_kmeans, mlp, unit

SIZES = (48, 24, 12)  # prototypes by level
DIM = 16  # of the head


@torch.no_grad()
def left_behind(
    encoder: Encoder, dataset: LabelledDataset, image_size: int, device: torch.device
) -> Mapping[str, Tensor]:
    """An untrained head, and prototypes of the training images in its space.

    Nothing on data of another task than classification, which may be a handful of images.
    """
    if dataset.spec.task != "classification":
        return {}
    torch.manual_seed(0)
    head = mlp(encoder.dim, encoder.dim, DIM).eval()
    encoder.eval()
    views = embed_batches(dataset.images("train"), image_size, 256, device, 0)
    features = torch.cat([unit(head(encoder(view))) for view in views])
    clusters = Clusters(len(features), SIZES, DIM)
    clusters.store(hierarchical_kmeans(features, SIZES, temperature=0.2, redo=1))
    return {**clusters.artifacts(), **head_artifacts(head)}
