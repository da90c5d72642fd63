"""How well images are found: average precision, recall and precision of rankings, and their table.

A query's ranking is of the images of a gallery, the nearest first; those of its class are relevant.

- ``recall_at_k``: the share of queries with a relevant image among the first k (Oh Song et al.,
  arXiv:1511.06452). It is what metric learning and video retrieval call Recall@K, and not the share
  of all relevant images that are among the first k.
- ``precision_at_k``: the share of relevant images among the first k. At 1 it is the recall.
- ``map``: the mean over queries of the average precision, which is the mean over a query's relevant
  images of the precision at their ranks. The whole ranking counts and nothing is interpolated, so
  it is scikit-learn's. ``map_at_d`` looks at the first d alone and divides by how many relevant
  images these could hold, min(relevant, d) (Weyand et al., arXiv:2004.01804); others divide by all
  that are relevant, or by those that were found, and get other numbers.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.integer]
Floats = NDArray[np.float64]

AVERAGE_PRECISION, HITS = "average_precision", "hits_at_"  # columns; of the first, the beginning


def average_precision(relevant: Bools, total: Ints, depth: int | None = None) -> Floats:
    """Of each query (N), between 0 and 1.

    ``relevant``: N x M, of a ranking's images, the first ``depth`` at least; ``total``: N, how many
    of the gallery's images are relevant, one or more.
    """
    counts = relevant[:, :depth].sum(axis=1)
    query, rank = np.nonzero(relevant[:, :depth])  # from 0, query by query, ascending
    found = np.arange(1, len(query) + 1) - np.repeat(np.cumsum(counts) - counts, counts)
    sums = np.bincount(query, weights=found / (rank + 1), minlength=len(relevant))
    possible = total if depth is None else np.minimum(total, depth)
    shares: Floats = sums / possible
    return shares


def hits(relevant: Bools, ranks: Sequence[int]) -> Ints:
    """How many of the first k of each query are relevant: N x ranks; ``relevant`` as above."""
    return np.stack([relevant[:, :k].sum(axis=1) for k in ranks], axis=1)


def metric_names(ranks: Sequence[int], depth: int | None) -> list[str]:
    """In order: the recall at the first rank, average precision, all else."""
    first, *others = [f"recall_at_{k}" for k in ranks]
    precisions = [f"precision_at_{k}" for k in ranks if k > 1]
    return [first, _map_name(_column(depth)), *others, *precisions]


def retrieval_table(
    items: Ints,
    labels: Ints,
    precisions: Floats,
    found: Ints,
    neighbours: Ints,
    neighbour_labels: Ints,
    *,
    ranks: Sequence[int],
    depth: int | None,
) -> pa.Table:
    """A row per query.

    ``items``, ``labels``, ``precisions`` (its average precision): N; ``found``: N x ranks, of
    ``hits``; ``neighbours`` and their labels: N x K, the nearest as positions in the gallery.
    """
    columns: dict[str, pa.Array] = {
        "item": pa.array(items, pa.int32()),
        "label": pa.array(labels, pa.int32()),
        _column(depth): pa.array(precisions, pa.float64()),
    }
    for number, k in enumerate(ranks):
        columns[f"{HITS}{k}"] = pa.array(found[:, number], pa.int32())
    for name, kept in (("neighbours", neighbours), ("neighbour_labels", neighbour_labels)):
        flat = pa.array(np.ascontiguousarray(kept).reshape(-1), pa.int32())
        columns[name] = pa.FixedSizeListArray.from_arrays(flat, kept.shape[1])
    return pa.table(columns)


def retrieval_values(table: pa.Table) -> dict[str, Floats]:
    """What each score of a table of queries is the mean of, in percent, by item."""
    table = table.sort_by("item")
    values: dict[str, Floats] = {}
    for name in table.column_names:
        if name.startswith(AVERAGE_PRECISION):
            values[_map_name(name)] = 100.0 * table[name].to_numpy()
        elif name.startswith(HITS):
            k, found = int(name.removeprefix(HITS)), table[name].to_numpy()
            values[f"recall_at_{k}"] = 100.0 * (found > 0)
            if k > 1:
                values[f"precision_at_{k}"] = 100.0 * found / k
    return values


def kept_neighbours(table: pa.Table) -> tuple[Ints, Ints, Ints, Ints]:
    """Of a table of queries: items, labels (N each), neighbours and their labels (N x K each)."""
    items, labels = (table[name].to_numpy() for name in ("item", "label"))
    lists = [table[name].combine_chunks() for name in ("neighbours", "neighbour_labels")]
    kept = [one.flatten().to_numpy().reshape(-1, one.type.list_size) for one in lists]
    return items, labels, kept[0], kept[1]


def _column(depth: int | None) -> str:
    return AVERAGE_PRECISION if depth is None else f"{AVERAGE_PRECISION}_at_{depth}"


def _map_name(column: str) -> str:
    return column.replace(AVERAGE_PRECISION, "map")
