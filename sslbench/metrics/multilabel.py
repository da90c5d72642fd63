"""Average precision where an image may show several classes, in percent.

By class, as VOC2007 ranks images (Everingham et al., "The PASCAL Visual Object Classes Challenge",
IJCV 88, 2010, section 3.4.1) and as PCL (arXiv:2005.04966, released code) measures linear SVMs: the
area under the interpolated curve of precision over recall, then the mean over classes. It is never
below scikit-learn's ``average_precision_score``, which takes the curve as it is; the two are equal
where precision never rises with recall.

By image, as HCSC's released code does (arXiv:2202.00455): within each image its classes are ranked,
and the mean is over images. It answers another question on another curve, is higher or lower on
the same scores, and compares with no mAP of VOC. So it has a name and a function of its own.

Labels are 1 (shown), 0 (not shown) and -1 (only as difficult: neither hit nor miss). Of equal
scores all enter the ranking at once, so the order of rows or classes never matters.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve

from sslbench.errors import DataError

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]


def class_average_precision(labels: Ints, scores: Floats) -> NDArray[np.float64]:
    """VOC's AP of each class (C), ranking images; labels and scores: N x C, higher is likelier.

    Raises DataError for a class that no image shows, for it has no AP, and for scores that are not
    finite. Leave such a class out before, and say so.
    """
    _check(labels, scores)
    absent = np.flatnonzero(~(labels == 1).any(axis=0))
    if len(absent):
        raise DataError(
            f"average precision is not defined for class {_some(absent)}: none of "
            f"{len(labels)} images shows it"
        )
    pairs = zip(labels.T, scores.T, strict=True)
    return np.array([_interpolated_area(column, ranks) for column, ranks in pairs])


def mean_class_average_precision(labels: Ints, scores: Floats) -> float:
    """VOC's mAP: the mean over classes of ``class_average_precision``, whose errors it raises."""
    return float(class_average_precision(labels, scores).mean())


def resampled_average_precision(
    labels: Ints, scores: Floats
) -> Callable[[NDArray[np.int64]], NDArray[np.float64]]:
    """``class_average_precision`` (C) of resamples of images, which are ranked only once.

    The function is handed how often each image occurs (N). A class that no image of a resample
    shows is NaN. Raises DataError as ``class_average_precision`` does, but for absent classes.
    """
    _check(labels, scores)
    pairs = zip(labels.T, scores.T, strict=True)
    classes = [_Ranked.of(column, ranks) for column, ranks in pairs]
    return lambda times: np.array([ranked.area(times) for ranked in classes])


def per_image_average_precision(labels: Ints, scores: Floats) -> NDArray[np.float64]:
    """HCSC's "AP" of each image (N), ranking classes; no mAP, see above. Labels, scores: N x C.

    Not interpolated: the sum of precision times the gain in recall. Raises DataError for an image
    that shows no class, for it has no AP, and for scores that are not finite. (The released code
    counts such an image as 0.)
    """
    _check(labels, scores)
    empty = np.flatnonzero(~(labels == 1).any(axis=1))
    if len(empty):
        raise DataError(
            f"average precision over classes is not defined for image {_some(empty)}: it shows no "
            "class"
        )
    pairs = zip(labels, scores, strict=True)
    return np.array(
        [100 * average_precision_score(row[row >= 0], ranks[row >= 0]) for row, ranks in pairs]
    )


@dataclass(frozen=True)
class _Ranked:
    """Images by their scores for a class, best first, those left out that do not count."""

    order: NDArray[np.intp]  # n
    hits: NDArray[np.intp]  # h, the places of images that show the class
    ends: NDArray[np.intp]  # h, the last place of the same score as a hit's
    lasts: NDArray[np.intp]  # h, the last hit of the same score

    @classmethod
    def of(cls, labels: Ints, scores: Floats) -> "_Ranked":
        counted = np.flatnonzero(labels >= 0)
        order = counted[np.argsort(-scores[counted], kind="stable")]
        falling = -scores[order]
        hits = np.flatnonzero(labels[order] == 1)
        ends = np.searchsorted(falling, falling[hits], side="right") - 1
        return cls(order, hits, ends, np.searchsorted(hits, ends, side="right") - 1)

    def area(self, times: NDArray[np.int64]) -> float:
        """``_interpolated_area`` where each image occurs so often; NaN if none shows the class."""
        drawn = times[self.order]
        gained = drawn[self.hits]
        found = gained.cumsum()
        if len(found) == 0 or found[-1] == 0:
            return float("nan")
        seen = drawn.cumsum()[self.ends]
        precision = found[self.lasts] / np.maximum(seen, 1)
        best = np.maximum.accumulate(precision[::-1])[::-1]
        return float(100 * (gained * best).sum() / found[-1])


def _interpolated_area(labels: Ints, scores: Floats) -> float:
    """In percent. Precision at a recall is the best at that recall or a higher one."""
    counted = labels >= 0
    precision, recall, _ = precision_recall_curve(labels[counted], scores[counted])
    best = np.maximum.accumulate(precision)  # recall falls along the curve, from 1 to 0
    return float(100 * (-np.diff(recall) * best[:-1]).sum())


def _check(labels: Ints, scores: Floats) -> None:
    if labels.ndim != 2 or labels.shape != scores.shape or labels.size == 0:
        raise DataError(
            f"labels and scores of images x classes expected, given {labels.shape} and "
            f"{scores.shape}"
        )
    if not np.isin(labels, (-1, 0, 1)).all():
        raise DataError(
            f"labels 1 (shown), 0 (not) and -1 (difficult) expected, found "
            f"{sorted(set(np.unique(labels).tolist()) - {-1, 0, 1})}"
        )
    bad = np.argwhere(~np.isfinite(scores))
    if len(bad):
        image, cls = bad[0].tolist()
        raise DataError(
            f"{len(bad)} scores are not finite, such as that of image {image} for class {cls}: "
            f"{scores[image, cls]}"
        )


def _some(positions: NDArray[np.intp]) -> str:
    more = f" and {len(positions) - 5} more" if len(positions) > 5 else ""
    return ", ".join(map(str, positions[:5])) + more
