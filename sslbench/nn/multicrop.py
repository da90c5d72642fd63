"""Views of several sizes: all through one encoder, each predicting what the first ones say.

Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments",
arXiv:2006.09882, section 3.3 (multi-crop).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sslbench.errors import ConfigError


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
        encoded = encoder(_side_by_side([views[place] for place in of_one_size]))  # NV x C
        features.update(
            (place, encoded[number :: len(of_one_size)]) for number, place in enumerate(of_one_size)
        )
    embedded = torch.cat([features[place] for place in range(len(views))])
    for head in heads:
        embedded = head(embedded)
    return list(embedded.chunk(len(views)))


def _side_by_side(views: Sequence[Tensor]) -> Tensor:
    """V views, N x 3 x H x W each -> NV x 3 x H x W, in the memory format that they have.

    Stacked, they would lose it, and the encoder would bring them into it again.
    """
    first = views[0]
    formats = (torch.channels_last, torch.contiguous_format)
    kept = next((f for f in formats if first.is_contiguous(memory_format=f)), formats[1])
    shape = (len(views) * len(first), *first.shape[1:])
    together = torch.empty(shape, dtype=first.dtype, device=first.device, memory_format=kept)
    for number, view in enumerate(views):
        together[number :: len(views)] = view
    return together


def cross_view_entropy(predictions: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """The mean cross-entropy of each target with the prediction of every other view.

    predictions: N x K log-probabilities of each view; targets: N x K of the first views, rows of
    sum 1. One product for each target: the other views' predictions are summed before it. Raises
    ConfigError where no view differs from one with a target.
    """
    views = len(predictions)
    if not targets or views < 2:
        raise ConfigError(
            f"cross_view_entropy of {views} views and {len(targets)} targets has no pair of unlike "
            "views: expected at least 2 and 1"
        )
    every = torch.stack(list(predictions)).sum(0)  # N x K
    losses = [
        -(target * (every - own)).sum(1).mean()
        for target, own in zip(targets, predictions, strict=False)  # those of the first views
    ]
    return torch.stack(losses).mean() / (views - 1)
