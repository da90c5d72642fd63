"""Views of several sizes through one encoder.

Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments",
arXiv:2006.09882, section 3.3 (multi-crop).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def embed_views(
    views: Sequence[Tensor],
    encoder: Callable[[Tensor], Tensor],
    *heads: Callable[[Tensor], Tensor],
) -> list[Tensor]:
    """The embedding of every view, in their order: N x 3 x H x W each -> N x D each.

    As in the released code, views of one size go through the encoder together, so that they share
    batch statistics, and the heads see all views at once. The views of an image lie side by side:
    where the encoder splits the batch (``bn_splits``), each chunk has its images in every view, as
    each of several devices has.
    """
    places: dict[torch.Size, list[int]] = {}
    for place, view in enumerate(views):
        places.setdefault(view.shape[1:], []).append(place)
    features: dict[int, Tensor] = {}
    for of_one_size in places.values():
        together = torch.stack([views[place] for place in of_one_size], 1)  # N x V x 3 x H x W
        encoded = encoder(together.flatten(0, 1))  # NV x C
        features.update(
            (place, encoded[number :: len(of_one_size)]) for number, place in enumerate(of_one_size)
        )
    embedded = torch.cat([features[place] for place in range(len(views))])
    for head in heads:
        embedded = head(embedded)
    return list(embedded.chunk(len(views)))
