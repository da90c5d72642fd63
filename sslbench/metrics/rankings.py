"""Test images ranked for each class by one or more classifiers: the table that keeps the rankings,
and VOC's mean average precision of each.

A row holds an image's labels, as ``sslbench.metrics.multilabel`` has them, and for each classifier
a score per class.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sslbench.metrics.multilabel import (
    Floats,
    Ints,
    mean_class_average_precision,
    resampled_average_precision,
)


def ranking_table(labels: Ints, scores: Mapping[str, Floats]) -> pa.Table:
    """A row per test image: item, label, and a list column for each entry of ``scores``.

    ``labels``: N x C; ``scores``: N x C each, kept as float32.
    """
    columns: dict[str, pa.Array] = {
        "item": pa.array(np.arange(len(labels)), pa.int32()),
        "label": _lists(labels, pa.int8()),
    }
    return pa.table(columns | {name: _lists(of, pa.float32()) for name, of in scores.items()})


def _lists(matrix: NDArray[np.generic], kind: pa.DataType) -> pa.Array:
    flat = pa.array(matrix.reshape(-1), kind)
    return pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])


def _matrix(table: pa.Table, column: str) -> NDArray[Any]:
    """A list column as rows x C."""
    lists = table[column].combine_chunks()
    values: NDArray[Any] = lists.flatten().to_numpy().reshape(-1, lists.type.list_size)
    return values


def rankings_of(table: pa.Table) -> list[str]:
    """The names of the rankings that a table holds."""
    return [name for name in table.column_names if name not in ("item", "label")]


def mean_average_precisions(table: pa.Table) -> dict[str, float]:
    """VOC's mAP of each ranking over the classes that the table's images show, NaN if none is."""
    labels = _matrix(table, "label")
    shown = (labels == 1).any(axis=0)
    if not shown.any():
        return dict.fromkeys(rankings_of(table), float("nan"))
    return {
        name: mean_class_average_precision(labels[:, shown], _matrix(table, name)[:, shown])
        for name in rankings_of(table)
    }


def resampled_mean_average_precisions(
    table: pa.Table,
) -> Callable[[NDArray[np.int64]], dict[str, float]]:
    """``mean_average_precisions`` of resamples of images, which are ranked only once.

    The function is handed how often each item occurs, in the order of the item numbers.
    """
    table = table.sort_by("item")
    labels = _matrix(table, "label")
    resampled = {
        name: resampled_average_precision(labels, _matrix(table, name))
        for name in rankings_of(table)
    }
    return lambda times: {
        name: _mean_known(by_class(times)) for name, by_class in resampled.items()
    }


def _mean_known(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
