"""Batch statistics that do not give the key away.

Encoder.bn_splits runs a batch in chunks, each with its own statistics. A key that shared its chunk
with its query could be told by those statistics alone, so keys are encoded in another order: He
et al., arXiv:1911.05722, section 3.3 (shuffling BN).
"""

import torch
from torch import Tensor, nn


def shuffled(encoder: nn.Module, images: Tensor, permutation: Tensor) -> Tensor:
    """``encoder`` of the permuted images, in the images' own order: N x ... -> N x D.

    ``permutation`` is a random order of the N images, from ``context.permutation``.
    """
    if permutation.shape != images.shape[:1]:
        raise ValueError(
            f"a permutation of {len(images)} images expected, given {permutation.shape}"
        )
    order = permutation.to(images.device)
    embedded: Tensor = encoder(images[order])
    return torch.empty_like(embedded).index_copy(0, order, embedded)
