"""Exact nearest neighbours by a product in bfloat16 that only rules rows out.

Where a CPU multiplies bfloat16 natively, that takes a quarter of the time of float32. The error of
an approximate cosine has a bound, from the lengths of what rounding took away (Cauchy-Schwarz) and
from the rounding of sums (Higham, "Accuracy and Stability of Numerical Algorithms", SIAM 2002,
section 3.1). Rows that lie below the k-th best by more than the bound allows are none of the k
nearest; of the few that are left, cosines are computed in float32, and those decide. A query whose
bound leaves too many is not answered here.
"""

import torch
from torch import Tensor
from torch.linalg import vector_norm

from sslbench.nn.faiss_library import faiss

SIMILARITIES = 2**22  # of a block of queries with all rows: 8 MiB, which a cache holds
GROUP = 16  # rows whose best alone takes part in the estimate of the k-th best
ROOM = 8  # groups with a candidate for every neighbour wanted, at most
CHUNK = 2**18  # numbers rounded at once: 1 MiB
SHORTEST = 1e-12  # lengths below are not brought to 1, as in torch's normalize
WORD = 4  # numbers of bfloat16 that are looked at at once
ROUNDING = 2.0**-24  # of float32, relative
OF_RESULT = 2.0**-8  # of bfloat16, relative


class RoundedBank:
    """Rows of any length and, rounded, of unit length."""

    def __init__(self, rows: Tensor) -> None:
        """``rows``: M x D, float32, on the CPU; what is mapped from a file is not copied."""
        self.rows = rows.contiguous()
        self.scale = torch.empty(len(rows))  # 1 / length
        self.rounded = torch.empty(rows.shape, dtype=torch.bfloat16)
        self.lost = 0.0  # the longest of what rounding took away
        chunk_rows = max(1, CHUNK // rows.shape[1])
        for start in range(0, len(rows), chunk_rows):
            chunk = slice(start, start + chunk_rows)
            length = vector_norm(self.rows[chunk], dim=1).clamp_min_(SHORTEST)
            unit = self.rows[chunk] / length[:, None]
            self.rounded[chunk] = unit
            self.scale[chunk] = length.reciprocal_()
            self.lost = max(self.lost, float(_lost(unit, self.rounded[chunk]).max()))
        self.block = max(8, SIMILARITIES // len(rows))  # queries at once
        # A large tensor made anew for every block would cost its pages anew, too.
        size = -(-self.block * len(rows) // WORD) * WORD
        self._matrix = torch.empty(size, dtype=torch.bfloat16)

    @staticmethod
    def serves(rows: int, neighbours: int) -> bool:
        """Whether there are enough rows for the estimate of the k-th best to be a good one."""
        return rows >= 2 * GROUP * neighbours

    def nearest(self, queries: Tensor, neighbours: int) -> tuple[Tensor, Tensor, Tensor]:
        """Cosine and position of the nearest, n x k each, and which queries have no answer (n).

        ``queries``: n x D of unit length, float32. Of equal cosines the lower position comes first.
        """
        values = torch.empty(len(queries), neighbours)
        columns = torch.empty(len(queries), neighbours, dtype=torch.int64)
        unanswered = torch.zeros(len(queries), dtype=torch.bool)
        for start in range(0, len(queries), self.block):
            block = slice(start, start + self.block)
            some = queries[block]
            where, unanswered[block] = self._candidates(some, neighbours)
            cosine = _products(some, self.rows, where).mul_(self.scale[where])
            # Candidates are in the order of their positions, which a stable sort keeps.
            cosine, order = cosine.sort(dim=1, descending=True, stable=True)
            values[block] = cosine[:, :neighbours]
            columns[block] = where.gather(1, order[:, :neighbours])
        return values, columns, unanswered

    def _candidates(self, queries: Tensor, neighbours: int) -> tuple[Tensor, Tensor]:
        """Positions that may be among the nearest, ascending, then -1s: n x as many as needed."""
        count, rows = len(queries), len(self.rows)
        rounded = queries.bfloat16()
        matrix = self._matrix[: count * rows].view(count, rows)
        similarity = torch.mm(rounded, self.rounded.T, out=matrix)
        groups = rows // GROUP
        best = similarity[:, : groups * GROUP].view(count, GROUP, groups).amax(dim=1)
        # As many groups have their best at or above this: so have as many rows.
        last = best.topk(neighbours, dim=1, sorted=False).values.amin(dim=1, keepdim=True).float()
        lost = _lost(queries, rounded)[:, None]
        error = lost + (1 + lost) * self.lost + (4 * queries.shape[1] + 16) * ROUNDING
        # The sum that was rounded to ``last``, less the error of that row, less that of another.
        lowest = (last - OF_RESULT * last.abs() - 2 * error).bfloat16()
        crowded = (best >= lowest).sum(dim=1) > ROOM * neighbours
        lowest[crowded] = torch.inf
        similarity.ge_(lowest)  # ten times as fast as to a tensor of bool
        return _padded(self._places(count * rows), count, rows, neighbours), crowded

    def _places(self, size: int) -> Tensor:
        """Where the first ``size`` numbers of the matrix are not 0. Few are."""
        whole = -(-size // WORD) * WORD
        self._matrix[size:whole] = 0
        words = self._matrix[:whole].view(torch.int64).nonzero()
        places = (words * WORD + torch.arange(WORD)).flatten()
        return places[self._matrix[places] != 0]


def _lost(unit: Tensor, rounded: Tensor) -> Tensor:
    """The length of what rounding took away from each row."""
    lost: Tensor = vector_norm(unit - rounded.float(), dim=1)
    return lost


def _padded(places: Tensor, count: int, rows: int, least: int) -> Tensor:
    """Places in a matrix of ``count`` x ``rows`` as columns of each row, -1 where there are less.

    At least ``least`` wide.
    """
    row = places // rows
    counts = row.bincount(minlength=count)
    slot = torch.arange(len(places)) - (counts.cumsum(0) - counts)[row]
    columns = torch.full((count, max(least, int(counts.max()))), -1)
    columns[row, slot] = places - row * rows
    return columns


def _products(queries: Tensor, rows: Tensor, where: Tensor) -> Tensor:
    """Of each query with its own rows: n x c; minus infinity where there is none."""
    found = torch.empty(where.shape)
    arrays = [x.numpy() for x in (found, queries.contiguous(), rows, where)]
    faiss.fvec_inner_products_by_idx(  # type: ignore[attr-defined]
        *map(faiss.swig_ptr, arrays), queries.shape[1], len(queries), where.shape[1]
    )
    return found
