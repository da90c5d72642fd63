"""Intervals of scores that come from a table of outcomes: its test items are drawn anew."""

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sslbench.stats.bootstrap import bootstrap_intervals

RESAMPLES = 1000  # of scores that are means over items
COSTLY_RESAMPLES = 200  # of all others, each computed anew from a resampled table

Positions = NDArray[np.intp]


class ItemRows:
    """Which rows of a table belong to which item, by its column ``item``."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        items = table["item"].to_numpy()
        self.rows = np.argsort(items, kind="stable")  # the rows of an item side by side
        _, self.first, self.count = np.unique(
            items[self.rows], return_index=True, return_counts=True
        )
        self.items = len(self.first)

    def resampled(self, drawn: Positions) -> pa.Table:
        """The rows of the drawn items; one drawn twice becomes two items."""
        counts = self.count[drawn]
        ends = np.cumsum(counts)
        within = np.arange(ends[-1]) - np.repeat(ends - counts, counts)
        rows = self.rows[np.repeat(self.first[drawn], counts) + within]
        taken = self.table.take(pa.array(rows))
        numbers = pa.array(np.repeat(np.arange(len(drawn)), counts), self.table["item"].type)
        column = taken.column_names.index("item")
        return taken.set_column(column, "item", numbers)


def score_intervals(
    rows: ItemRows,
    score: Callable[[pa.Table], Mapping[str, float]],
    values: Mapping[str, NDArray[np.float64]] | None,
    resampler: Callable[[NDArray[np.int64]], Mapping[str, float]] | None,
    seed: int,
) -> tuple[dict[str, tuple[float, float]], str]:
    """95 % intervals by score, and how they were made; none for fewer than two items.

    ``values``: where each score is a mean over items, what it is the mean of (one number per
    item). ``resampler``: a quicker ``score``, of how often each item was drawn. One seed draws
    the same items for all tables of one size, so that methods compare.
    """
    if rows.items < 2:
        return {}, "one test item"
    resamples = COSTLY_RESAMPLES if values is None else RESAMPLES

    def anew(drawn: Positions) -> Mapping[str, float]:
        if resampler is not None:
            return resampler(np.bincount(drawn, minlength=rows.items))
        return score(rows.resampled(drawn))

    def means(drawn: Positions) -> Mapping[str, float]:
        # Counting how often each item was drawn turns all means into one product.
        times = np.bincount(drawn, minlength=rows.items)
        return dict(zip(names, (matrix @ times / rows.items).tolist(), strict=True))

    names = list(values or {})
    matrix = np.stack(list(values.values())) if values else np.empty((0, rows.items))
    made = f"{resamples} bootstrap resamples of {rows.items} test items"
    if values is not None:
        return bootstrap_intervals(rows.items, means, seed, resamples), made
    estimate = score(rows.table)
    return bootstrap_intervals(
        rows.items, anew, seed, resamples, centre=estimate
    ), f"{made}, centred"
