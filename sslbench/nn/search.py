"""Exact nearest neighbours by inner product, in blocks of bounded memory."""

import faiss
import numpy as np
import torch
from torch import Tensor

QUERIES, BANK = 1024, 65_536  # rows of a block: at most 256 MiB of similarities at once


def nearest(queries: Tensor, bank: Tensor, neighbours: int) -> tuple[Tensor, Tensor]:
    """Similarity and position in the bank of each query's nearest rows, nearest first: N x k each.

    ``queries``: N x D, ``bank``: M x D, float32 on one device, rows of unit length for cosine. Of
    equal similarities the lower position comes first. Raises ValueError if ``bank`` has fewer than
    ``neighbours`` rows.
    """
    if not 0 < neighbours <= len(bank):
        raise ValueError(f"{neighbours} neighbours of {len(bank)} rows")
    # On a CPU faiss is faster than torch: it keeps the best while it multiplies.
    search = _by_faiss if queries.device.type == "cpu" else _by_torch
    similarity, position = search(queries, bank, neighbours)
    order = position.argsort(dim=1)
    similarity, position = similarity.gather(1, order), position.gather(1, order)
    order = similarity.argsort(dim=1, descending=True, stable=True)
    return similarity.gather(1, order), position.gather(1, order)


def _by_faiss(queries: Tensor, bank: Tensor, neighbours: int) -> tuple[Tensor, Tensor]:
    similarity, position = faiss.knn(
        np.ascontiguousarray(queries.numpy()),
        np.ascontiguousarray(bank.numpy()),
        neighbours,
        metric=faiss.METRIC_INNER_PRODUCT,
    )
    return torch.from_numpy(similarity), torch.from_numpy(position)


def _by_torch(queries: Tensor, bank: Tensor, neighbours: int) -> tuple[Tensor, Tensor]:
    similarities, positions = [], []
    for block in torch.split(queries, QUERIES):
        best: Tensor = block.new_empty(len(block), 0)
        where = torch.empty(len(block), 0, dtype=torch.int64, device=block.device)
        for start in range(0, len(bank), BANK):
            rows = bank[start : start + BANK]
            values, columns = (block @ rows.T).topk(min(neighbours, len(rows)), dim=1)
            # The best so far compete with the best of this block.
            best, kept = torch.cat([best, values], 1).topk(
                min(neighbours, best.shape[1] + values.shape[1]), dim=1
            )
            where = torch.cat([where, columns + start], 1).gather(1, kept)
        similarities.append(best)
        positions.append(where)
    return torch.cat(similarities), torch.cat(positions)
