"""Top-k accuracy of ranked predictions, and the table that keeps them.

A row holds a test image's label and, for each of one or more classifiers, its best classes, best
first. Ranks that a classifier leaves empty are -1, which is no label, so they are never a hit.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]

RANKS = 5  # classes kept per image, or all where there are fewer
EMPTY = -1


def prediction_table(labels: Ints, ranked: Mapping[str, Ints]) -> pa.Table:
    """A row per test image: item, label, and a list column for each entry of ``ranked``.

    ``labels``: N; ``ranked``: N x ranks each, best first.
    """
    columns: dict[str, pa.Array] = {
        "item": pa.array(np.arange(len(labels)), pa.int32()),
        "label": pa.array(labels, pa.int32()),
    }
    for name, classes in ranked.items():
        flat = pa.array(np.ascontiguousarray(classes).reshape(-1), pa.int32())
        columns[name] = pa.FixedSizeListArray.from_arrays(flat, classes.shape[1])
    return pa.table(columns)


def hits(table: pa.Table, column: str, ranks: int) -> NDArray[np.bool_]:
    """For each item (N, by number), whether its label is among a column's first ``ranks`` classes.

    Comparisons of two tables pair their items, so the order must not depend on that of the rows.
    """
    table = table.sort_by("item")
    classes = table[column].combine_chunks()
    width = classes.type.list_size
    ranked = classes.flatten().to_numpy().reshape(-1, width)  # N x width
    labels = table["label"].to_numpy()[:, None]
    found: NDArray[np.bool_] = (ranked[:, :ranks] == labels).any(axis=1)
    return found


def percent(found: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Hits as values whose mean is an accuracy in percent."""
    return found.astype(np.float64) * 100


def top_values(table: pa.Table) -> dict[str, NDArray[np.float64]]:
    """What top-1 and top-5 of the column ``ranked`` are the means of, by item."""
    return {f"top{ranks}": percent(hits(table, "ranked", ranks)) for ranks in (1, 5)}


def means(values: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    """The mean of each entry."""
    return {name: float(value.mean()) for name, value in values.items()}
