"""Signals of collapse: how features and prototypes are spread, without a label.

Rank: Garrido et al., "RankMe", ICML 2023, arXiv:2210.02885, section 3.2. Deviation: Chen and He,
SimSiam, arXiv:2011.10566, section 4.1. Alignment and uniformity: Wang and Isola, "Understanding
Contrastive Representation Learning", ICML 2020, arXiv:2005.10242, section 4.1.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

# Rows coincide whose squared distance is at most this share of their mean squared length: unit rows
# of a cosine of 0.9995.
_COINCIDE = 1e-3
_BLOCK = 1024  # prototypes that are compared with all others at once


def effective_rank(features: Tensor) -> float:
    """exp of the entropy of the singular values of N x D ``features``, scaled to sum 1.

    1 for a line, min(N, D) where all directions count alike, 0 for zeros. Centre the features
    before, and it speaks of their spread; as they are (RankMe), a common mean is a direction too.
    """
    wide = features.double()
    gram = wide.T @ wide if wide.shape[0] >= wide.shape[1] else wide @ wide.T
    values = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt()
    if not values.sum() > 0:
        return 0.0
    shares = values / values.sum()
    return float(torch.special.entr(shares).sum().exp())


def deviation(features: Tensor) -> float:
    """Mean over channels of the standard deviation of unit rows (N x D), times sqrt(D).

    0 where all rows point one way; 1 where they point every way alike.
    """
    rows = _unit(features)
    return float(rows.std(0, correction=0).mean()) * math.sqrt(rows.shape[1])


def alignment(one: Tensor, other: Tensor) -> float:
    """Mean squared distance of two views' unit rows (N x D each): 0 where they are the same."""
    return float((_unit(one) - _unit(other)).square().sum(1).mean())


def uniformity(features: Tensor) -> float:
    """log of the mean of exp(-2 d^2) over all pairs of unit rows (N x D); 0 where all are equal."""
    rows = _unit(features).float()
    squared = 2 - 2 * (rows @ rows.T)
    alike = (
        torch.exp(-2 * squared.clamp_min(0)).sum(1, dtype=torch.float64) - 1
    )  # N, without itself
    return math.log(float(alike.mean()) / (len(rows) - 1))


def neighbour_agreement(one: Tensor, other: Tensor, neighbours: int) -> float:
    """The share of an image's nearest images that stay so when it is seen in another view.

    one, other: N x D, two views of the same images. Both rows of an image look for the
    ``neighbours`` of largest cosine among ``one``, without the image itself.
    """
    bank = _unit(one).float()
    kept = []
    for rows in (bank, _unit(other).float()):
        cosines = rows @ bank.T  # N x N
        cosines.fill_diagonal_(-math.inf)
        kept.append(cosines.topk(neighbours, 1).indices)  # N x neighbours
    same = (kept[0][:, :, None] == kept[1][:, None, :]).any(2)
    return float(same.double().mean())


def usage(sizes: Tensor) -> tuple[float, float]:
    """Of M clusters' ``sizes``: the share that has any image, and entropy / log M.

    Where there are fewer images than clusters, they stand in for M: 1 is always the most.
    """
    most = min(len(sizes), int(sizes.sum()))
    if most < 2:
        return float(most > 0), 0.0
    shares = sizes.double() / sizes.sum()
    return (
        float((sizes > 0).sum()) / most,
        float(torch.special.entr(shares).sum()) / math.log(most),
    )


def distinct(rows: Tensor) -> int:
    """How many of M x D ``rows`` there are when those that coincide count as one."""
    rows = rows.float()
    lengths = rows.square().sum(1)  # M
    near = _COINCIDE * lengths.mean()
    count = 0
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        end = start + len(block)
        squared = lengths[start:end, None] + lengths[:end] - 2 * block @ rows[:end].T
        earlier = (squared <= near).tril(start - 1)  # block x end
        count += int((~earlier.any(1)).sum())
    return count


def _unit(features: Tensor) -> Tensor:
    return normalize(features.double())
