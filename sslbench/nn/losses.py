"""Contrastive losses as pure functions of tensors: no state, no draws, the mean over rows.

All compute in fp32 at least, also under autocast: a softmax over thousands of negatives needs it.
"""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from sslbench.errors import ConfigError

# remove: a rejected negative leaves the denominator; zero: its logit becomes 0, so 1 stays there.
Rejected = Literal["remove", "zero"]

# Logits further apart than this have no common scale: exp(-87) is the least that fp32 holds, and
# what it holds is shared among up to 100,000 negatives.
_APART = 60


def unit(embeddings: Tensor) -> Tensor:
    """N x D -> its rows at length 1, in fp32 at least."""
    with torch.autocast(embeddings.device.type, enabled=False):
        return normalize(wide(embeddings))


def info_nce(
    query: Tensor,
    key: Tensor,
    negatives: Tensor,
    temperature: float,
    keep: Tensor | None = None,
    rejected: Rejected = "remove",
    itself: Tensor | None = None,
) -> Tensor:
    """InfoNCE of N queries with one key each and K shared negatives (arXiv:1807.03748, eq. 4).

    query, key: N x D; negatives: K x D; all unit rows. ``keep``: N x K, False where a negative is
    rejected; with L x N x K the result is L losses. ``itself``: N, the row of ``negatives`` that is
    the key and therefore no negative. A query all of whose negatives are removed costs nothing and
    has no gradient. Raises ConfigError if there is no negative at all.
    """
    check_temperature(temperature)
    least = 1 if itself is None else 2  # one of them is the key
    if len(negatives) < least:
        raise ConfigError(
            f"info_nce without negatives is always 0: given a queue of {len(negatives)}, expected "
            f"one of at least {least}"
        )
    with torch.autocast(query.device.type, enabled=False):
        query, key, negatives = wide(query) / temperature, wide(key), wide(negatives)
        positive = (query * key).sum(1, keepdim=True)  # N x 1
        logits = query @ negatives.T  # N x K
        if itself is not None:
            logits = logits.scatter(1, itself[:, None], -torch.inf)
        if keep is None:
            return _cross_entropy(positive, logits)
        masks = keep if keep.dim() == 3 else keep[None]  # L x N x K
        if itself is not None:  # gone already; a rejected one might come back as a zero
            masks = masks.scatter(2, itself[None, :, None].expand(len(masks), -1, 1), True)
        if 2 / temperature > _APART:  # a product of unit rows is within 1 of 0
            fill = -torch.inf if rejected == "remove" else 0.0
            selected = (logits.masked_fill(~mask, fill) for mask in masks)
            losses = torch.stack([_cross_entropy(positive, kept) for kept in selected])
        else:
            losses = _SelectedCrossEntropy.apply(positive[:, 0], logits, masks, rejected).mean(1)
        return losses if keep.dim() == 3 else losses[0]


class _SelectedCrossEntropy(torch.autograd.Function):
    """-log softmax of the positive among it and the logits that each of L masks keeps: L x N.

    One exponential for all masks, where autograd takes two for each: pair selection would spend its
    time there. For logits within ``_APART``, because the largest scales those of every mask. Masks
    become numbers first, for torch selects by booleans ten times as slowly as it multiplies.
    """

    @staticmethod
    def forward(
        ctx: Any, positive: Tensor, logits: Tensor, keep: Tensor, rejected: Rejected
    ) -> Tensor:
        """positive: N; logits: N x K; keep: L x N x K, False where a logit is rejected."""
        largest = torch.maximum(logits.amax(1), positive)  # N
        terms = (logits - largest[:, None]).exp_()
        own = (positive - largest).exp_()
        totals = []
        for mask in keep:
            kept = _numbers(mask, terms)
            total = torch.linalg.vecdot(terms, kept) + own
            if rejected == "zero":  # exp(0) each, without a gradient
                total += (kept.shape[1] - kept.sum(1)) * (-largest).exp()
            totals.append(total)
        total = torch.stack(totals)  # L x N
        share = own / total
        ctx.save_for_backward(terms, keep, total, share)
        return -share.log()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        terms, keep, total, share = ctx.saved_tensors
        of_logits = torch.zeros_like(terms)
        for mask, row in zip(keep, gradient / total, strict=True):
            of_logits.addcmul_(_numbers(mask, terms), row[:, None])
        return (gradient * (share - 1)).sum(0), of_logits.mul_(terms), None, None


def _numbers(mask: Tensor, like: Tensor) -> Tensor:
    """0 and 1, by way of bytes: of booleans torch makes numbers six times as slowly."""
    return mask.view(torch.uint8).to(like)


def nt_xent(one: Tensor, other: Tensor, temperature: float, decoupled: bool = False) -> Tensor:
    """NT-Xent of two views of N images, mean over all 2N rows (arXiv:2002.05709, eq. 1).

    one, other: N x D unit rows. The negatives of a row are both views of the other N - 1 images.
    ``decoupled`` leaves the positive out of the denominator (arXiv:2110.06848). Raises ConfigError
    for fewer than two images.
    """
    check_temperature(temperature)
    count = len(one)
    if count < 2:
        raise ConfigError(f"nt_xent of {count} images has no negatives: use a batch of at least 2")
    with torch.autocast(one.device.type, enabled=False):
        one, other = wide(one), wide(other)
        both = torch.cat([one, other])  # 2N x D
        logits = both @ both.T / temperature  # 2N x 2N
        itself = torch.eye(count, dtype=torch.bool, device=one.device).repeat(2, 2)
        logits = logits.masked_fill(itself, -torch.inf)  # a row's two own views
        positive = ((one * other).sum(1, keepdim=True) / temperature).repeat(2, 1)  # 2N x 1
        if decoupled:
            return (logits.logsumexp(1) - positive[:, 0]).mean()
        return _cross_entropy(positive, logits)


def batch_info_nce(
    query: Tensor, key: Tensor, temperature: float, decoupled: bool = False
) -> Tensor:
    """InfoNCE of N queries whose negatives are the batch's other keys; row i's positive is key i.

    query, key: N x D unit rows. ``decoupled`` takes the positive out of the denominator
    (arXiv:2110.06848). Raises ConfigError for fewer than two rows.
    """
    check_temperature(temperature)
    if len(query) < 2:
        raise ConfigError(
            f"batch_info_nce of {len(query)} queries has no negatives: use a batch of at least 2"
        )
    with torch.autocast(query.device.type, enabled=False):
        logits = wide(query) @ wide(key).T / temperature  # N x N
        positive = logits.diagonal()
        if decoupled:
            itself = torch.eye(len(query), dtype=torch.bool, device=query.device)
            logits = logits.masked_fill(itself, -torch.inf)
        return (logits.logsumexp(1) - positive).mean()


def negative_cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """The mean of minus the cosine of each prediction and its target, which takes no gradient.

    prediction, target: N x D, rows of any length. It is half their squared distance at unit length,
    less 1: SimSiam minimises the one (arXiv:2011.10566, eq. 1), BYOL the other (arXiv:2006.07733,
    eq. 2). Raises ConfigError if there is no row.
    """
    if not len(prediction):
        raise ConfigError("negative_cosine of no predictions: use a batch of at least one image")
    with torch.autocast(prediction.device.type, enabled=False):
        return -(unit(prediction) * unit(target.detach())).sum(1).mean()


def proto_nce(
    query: Tensor,
    prototypes: Tensor,
    concentration: Tensor,
    positive: Tensor,
    candidates: Tensor,
    keep: Tensor | None = None,
    rejected: Rejected = "remove",
    columns: Tensor | None = None,
) -> Tensor:
    """ProtoNCE of N queries at one clustering (arXiv:2005.04966, equation 11).

    query: N x D; prototypes: M x D; concentration: M; positive: N, the prototype of each query.
    ``columns``: K prototypes that are compared, in place of all M. ``candidates``: K or N x K,
    False where a prototype is no negative of a query; ``keep``: N x K, False where one is rejected.
    A query without a candidate, or all of whose candidates are removed, costs nothing and has no
    gradient. That there are candidates ``pairs.check_candidates`` sees to, once per clustering, for
    here it would cost a synchronisation per step. Raises ConfigError if nothing is compared.
    """
    compared = len(prototypes) if columns is None else len(columns)
    if not compared:
        raise ConfigError(
            "proto_nce with no prototype to compare with is always 0: use at least two clusters"
        )
    with torch.autocast(query.device.type, enabled=False):
        query, prototypes = wide(query), wide(prototypes)
        scaled = prototypes / concentration[:, None]  # M x D
        own = (query * scaled[positive]).sum(1, keepdim=True)  # N x 1
        logits = query @ (scaled if columns is None else scaled[columns]).T  # N x K
        if keep is not None and rejected == "zero":
            logits = logits.masked_fill(~keep, 0)
        elif keep is not None:
            candidates = candidates & keep
        return _cross_entropy(own, logits.masked_fill(~candidates, -torch.inf))


def _cross_entropy(positive: Tensor, negatives: Tensor) -> Tensor:
    """N x 1 and N x K logits -> the mean of -log softmax of the positive."""
    return cross_entropy_of_first(torch.cat([positive, negatives], 1))


def cross_entropy_of_first(logits: Tensor) -> Tensor:
    """N x (1 + K) logits -> the mean of -log softmax of column 0."""
    first = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    return cross_entropy(logits, first)


def wide(tensor: Tensor) -> Tensor:
    """In fp32 where the numbers are of fewer bits; fp64 stays fp64."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def check_temperature(temperature: float) -> None:
    """Raises ConfigError for one that is not positive."""
    if not temperature > 0:
        raise ConfigError(f"temperature = {temperature}: expected a positive number, such as 0.2")
