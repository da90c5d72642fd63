"""All scores of a table of boxes: COCO's and VOC's, each the mean over the table's trials.

MoCo's protocol on VOC (arXiv:1911.05722, section 4.2.1) is the mean of five trials of training the
detector. With several trials every score comes with its standard deviation over them (n - 1).
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from sslbench.errors import DataError
from sslbench.metrics.ap import COCO_SCORES, SUMMARY_SCORES, coco_scores
from sslbench.metrics.box_table import Times, trials_of
from sslbench.metrics.voc_ap import VOC_SCORES, voc_scores


def score_names(full_summary: bool) -> tuple[str, ...]:
    """What a table is scored by, deviations apart; with areas it has the whole of COCO's."""
    return COCO_SCORES + VOC_SCORES + (SUMMARY_SCORES if full_summary else ())


def deviation(score: str) -> str:
    """The name of a score's standard deviation over trials."""
    return f"{score}_sd"


def box_scores(table: pa.Table) -> dict[str, float]:
    """The scores of a table with the columns of ``BOX_TABLE``, in percent.

    Raises DataError if the table has no box that counts, for any of the scores.
    """
    items = len(np.unique(table["item"].to_numpy())) if "item" in table.column_names else 0
    scores = resampled_box_scores(table)(np.ones(items, dtype=np.int64))
    undefined = [name for name, score in scores.items() if np.isnan(score)]
    if undefined:
        raise DataError(
            f"{', '.join(undefined)}: no truth box that is not ignored and that it could be of. "
            "Check the test split's annotations; scores of small, medium and large objects need "
            "some of each"
        )
    return scores


def resampled_box_scores(table: pa.Table) -> Callable[[Times], dict[str, float]]:
    """``box_scores`` of resamples of images, matched only once.

    The function is handed how often every image occurs: as many integers as the table has
    different items, in ascending order of item. All trials are of the same images. A score of a
    resample without any box that counts is NaN.
    """
    trials = trials_of(table)
    items = np.unique(table["item"].to_numpy())
    parts = [(coco_scores(rows, items), voc_scores(rows, items)) for rows in trials]

    def scores(times: Times) -> dict[str, float]:
        each = [{**coco(times), **voc(times)} for coco, voc in parts]
        values = {name: np.array([trial[name] for trial in each]) for name in each[0]}
        means = {name: float(of.mean()) for name, of in values.items()}
        if len(each) == 1:
            return means
        return means | {deviation(name): float(of.std(ddof=1)) for name, of in values.items()}

    return scores
