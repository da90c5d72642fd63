"""How far the scores of a table of outcomes would move with other test items."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sslbench.stats.bootstrap import Positions, percentile_interval, resampled_scores
from sslbench.stats.spread import Spread

RESAMPLES = 1000  # of scores that are means over items
COSTLY_RESAMPLES = 200  # of all others, each computed anew from a resampled table


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


@dataclass(frozen=True, eq=False)
class Measured:
    """How far each score would move with other test images. Empty for fewer than two items."""

    intervals: Mapping[str, tuple[float, float]]  # of 95 %, by score
    how: str  # the intervals were made
    spreads: Mapping[str, Spread]  # what comparisons need, by score


def score_intervals(
    rows: ItemRows,
    score: Callable[[pa.Table], Mapping[str, float]],
    values: Mapping[str, NDArray[np.float64]] | None,
    resampler: Callable[[NDArray[np.int64]], Mapping[str, float]] | None,
    *,
    halves: bool,
) -> Measured:
    """Intervals and spreads of the scores of a table.

    ``values``: where each score is a mean over items, what it is the mean of (one number per
    item). ``resampler``: a quicker ``score``, of how often each item was drawn. ``halves``: halves
    of the items are drawn, none twice, because repeated items would bias the scores; means over
    items need no such care. For all tables of one size the same items are drawn, so that runs
    compare.
    """
    if rows.items < 2:
        return Measured({}, "one test item", {})

    def times(drawn: Positions) -> NDArray[np.int64]:
        return np.bincount(drawn, minlength=rows.items)

    if values is not None:
        names, matrix = list(values), np.stack(list(values.values()))

        def means(drawn: Positions) -> Mapping[str, float]:
            # Counting how often each item was drawn turns all means into one product.
            return dict(zip(names, (matrix @ times(drawn) / rows.items).tolist(), strict=True))

        scores = resampled_scores(rows.items, means, RESAMPLES)
        return Measured(
            {name: percentile_interval(scores[name]) for name in names},
            f"{RESAMPLES} bootstrap resamples of {rows.items} test items",
            {name: Spread(float(of.mean()), of, "items") for name, of in values.items()},
        )

    def anew(drawn: Positions) -> Mapping[str, float]:
        return score(rows.resampled(drawn)) if resampler is None else resampler(times(drawn))

    estimate = score(rows.table)
    scores = resampled_scores(rows.items, anew, COSTLY_RESAMPLES, halves)
    kind = "half-samples" if halves else "bootstrap resamples"
    return Measured(
        {name: percentile_interval(of, centre=estimate[name]) for name, of in scores.items()},
        f"{COSTLY_RESAMPLES} {kind} of {rows.items} test items, centred",
        {name: Spread(estimate[name], of, "resamples") for name, of in scores.items()},
    )
