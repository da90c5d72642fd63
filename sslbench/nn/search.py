"""Exact nearest neighbours by cosine, in blocks: a bank may be larger than the memory.

Queries and bank may be mapped from files. Rows are brought to unit length a block at a time, and
each block's nearest are merged into the best so far. What is held at once is N x k results and two
blocks of rows. A CPU that has bfloat16 takes it to rule out most rows: see rounded_search.py.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sslbench.nn.faiss_library import faiss
from sslbench.nn.precision import has_bf16
from sslbench.nn.rounded_search import RoundedBank

QUERIES = 1024  # rows of a block of queries
NUMBERS = 2**25  # of a block of the bank, or of similarities on a GPU: 128 MiB
TIES = 2**22  # similarities looked at again at once, where a tie decides who is a neighbour


def nearest(
    queries: Tensor,
    bank: Tensor,
    neighbours: int,
    device: torch.device,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Tensor, Tensor]:
    """Cosine and position in the bank of each query's nearest rows, nearest first: N x k each.

    ``queries``: N x D, ``bank``: M x D, float32; a row of zeros has cosine 0 with every other. The
    results are on ``device``, where the search runs. Of equal cosines the lower position comes
    first, also where that decides who is among the nearest. ``on_progress`` is told the blocks
    done, of how many. Raises ValueError if ``bank`` has fewer than ``neighbours`` rows.
    """
    if not 0 < neighbours <= len(bank):
        raise ValueError(f"{neighbours} neighbours of {len(bank)} rows")
    rows = max(1, NUMBERS // max(bank.shape[1], QUERIES if device.type != "cpu" else 1))
    starts = range(0, len(bank), rows)
    blocks = range(0, len(queries), QUERIES)
    best = torch.empty(len(queries), neighbours, device=device)
    where = torch.empty_like(best, dtype=torch.int64)
    held = 0  # found so far, of each query
    for number, start in enumerate(starts):
        search = _prepared(bank[start : start + rows], neighbours, device)
        for i, first in enumerate(blocks):
            block = slice(first, first + QUERIES)
            values, columns = search(normalize(queries[block].to(device)))
            columns += start
            if held:
                # Those found before have lower positions, and a stable sort leaves them in front.
                values = torch.cat([best[block, :held], values], 1)
                columns = torch.cat([where[block, :held], columns], 1)
                order = values.argsort(dim=1, descending=True, stable=True)[:, :neighbours]
                values, columns = values.gather(1, order), columns.gather(1, order)
            best[block, : values.shape[1]] = values
            where[block, : values.shape[1]] = columns
            on_progress(number * len(blocks) + i + 1, len(starts) * len(blocks))
        held = min(neighbours, held + rows)
    return best, where


def _prepared(
    part: Tensor, neighbours: int, device: torch.device
) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """What finds the nearest rows of a part of the bank, all of them if it has no more."""
    wanted = min(neighbours, len(part))
    # On a CPU faiss is faster than torch: it keeps the best while it multiplies.
    search = _by_faiss if device.type == "cpu" else _by_torch
    if device.type != "cpu" or not (RoundedBank.serves(len(part), wanted) and has_bf16(device)):
        rows = normalize(part.to(device))
        return lambda queries: _block(search, queries, rows, wanted)
    rounded = RoundedBank(part)

    @cache
    def unit() -> Tensor:
        return normalize(part)

    def nearest_of_part(queries: Tensor) -> tuple[Tensor, Tensor]:
        values, columns, unanswered = rounded.nearest(queries, wanted)
        if unanswered.any():
            rest = _block(search, queries[unanswered], unit(), wanted)
            values[unanswered], columns[unanswered] = rest
        return values, columns

    return nearest_of_part


Search = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]


def _block(search: Search, queries: Tensor, rows: Tensor, wanted: int) -> tuple[Tensor, Tensor]:
    """The nearest of one block, equal ones by position."""
    values, columns = search(queries, rows, min(wanted + 1, len(rows)))
    tied = torch.zeros(len(queries), dtype=torch.bool, device=values.device)
    if values.shape[1] > wanted:  # one too many tells whether the last has an equal outside
        tied = values[:, wanted - 1] == values[:, wanted]
    values, columns = values[:, :wanted], columns[:, :wanted]
    for some in torch.split(tied.nonzero()[:, 0], max(1, TIES // len(rows))):
        values[some], columns[some] = _first_of_equals(queries[some], rows, wanted)
    order = columns.argsort(dim=1)
    values, columns = values.gather(1, order), columns.gather(1, order)
    order = values.argsort(dim=1, descending=True, stable=True)
    return values.gather(1, order), columns.gather(1, order)


def _first_of_equals(queries: Tensor, rows: Tensor, wanted: int) -> tuple[Tensor, Tensor]:
    """The nearest in any order, from all similarities; of those equal to the last, the first."""
    similarity = queries @ rows.T
    last = similarity.topk(wanted, dim=1).values[:, -1:]
    above, equal = similarity > last, similarity == last
    room = wanted - above.sum(dim=1, keepdim=True)
    chosen = above | (equal & (equal.cumsum(dim=1) <= room))
    columns = chosen.nonzero()[:, 1].reshape(len(queries), wanted)
    return similarity.gather(1, columns), columns


def _by_faiss(queries: Tensor, rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    similarity, position = faiss.knn(
        queries.numpy(), rows.numpy(), count, metric=faiss.METRIC_INNER_PRODUCT
    )
    return torch.from_numpy(similarity), torch.from_numpy(position)


def _by_torch(queries: Tensor, rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    similarity, position = (queries @ rows.T).topk(count, dim=1)
    return similarity, position
