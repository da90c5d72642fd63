"""PASCAL VOC's average precision of a table of boxes, and its resampling.

Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 88, 2010, sections 3.4.1 and
4.2, and its development kits. Detections are ranked by score; each is a hit if the box of its class
that it overlaps most has an IoU above the threshold and no detection before it has hit that box. A
detection of a difficult box counts neither for nor against. Up to VOC2009, AP is the mean of eleven
precisions, at recalls 0, 0.1 ... 1 (``voc07``); from VOC2010 on it is the area under the curve
(``voc10``). Precision at a recall is the best at that recall or a higher one.

Detectron2 scores VOC2007 by eleven points at ten IoU thresholds (0.50 to 0.95), and that is what
papers print as AP, AP50 and AP75 of VOC07+12; it is not COCO's AP. Departures: Detectron2 rounds
scores to three decimals and corners to a tenth of a pixel; of equal scores all enter the ranking at
once here, so that the order of rows never matters. Widths are differences, for corners here exclude
the last pixel; VOC's include it, and its widths have one added.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslbench.metrics.box_table import BoxRows, Doubles, Flags, Integers, Times

VOC_SCORES = ("voc07_ap50", "voc07_ap", "voc07_ap75", "voc10_ap50")
THRESHOLDS = np.arange(50, 100, 5) / 100  # of IoU
RECALLS = np.arange(0.0, 1.1, 0.1)  # the kit's and Detectron2's floats, of which 3/10 is below one


@dataclass(frozen=True)
class _Ranking:
    """The detections of a class, best first, and where its boxes are.

    Precision is best where a hit was just ranked, so only there are points of the curve; what comes
    after the last of them changes nothing.
    """

    images: npt.NDArray[np.intp]  # D, of each detection
    hits: Flags  # thresholds x D
    misses: Flags  # thresholds x D
    starts: npt.NDArray[np.intp]  # points, the first detection after the point before
    truth: npt.NDArray[np.intp]  # the image of each box that counts


def voc_scores(rows: BoxRows, items: Integers) -> Callable[[Times], dict[str, float]]:
    """VOC's scores in percent of resamples of images, matched only once.

    ``items``: all images, ascending. The function is handed how often each occurs. Without any box
    that counts, scores are NaN.
    """
    rankings = _rankings(rows, items)
    return lambda times: _averaged(rankings, times)


def eleven_points(recall: Doubles, precision: Doubles) -> Doubles:
    """AP of VOC2007 to 2009 as a share, of curves (N x B each, recall ascending): N."""
    best = np.pad(_best(precision), ((0, 0), (0, 1)))  # beyond the last recall it is 0
    # The first point with at least that recall.
    places = np.array([curve.searchsorted(RECALLS) for curve in recall])
    points: Doubles = np.take_along_axis(best, places, axis=1).mean(axis=1)
    return points


def area_under(recall: Doubles, precision: Doubles) -> Doubles:
    """AP of VOC2010 and later as a share, of curves (N x B each, recall ascending): N."""
    gain = np.diff(recall, prepend=0.0)
    area: Doubles = (gain * _best(precision)).sum(axis=1)
    return area


def _best(precision: Doubles) -> Doubles:
    """At each recall, or at a higher one."""
    best: Doubles = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return best


def _averaged(rankings: list[_Ranking], times: Times) -> dict[str, float]:
    """Means over the classes of which a drawn image shows a box that counts."""
    points, areas = [], []
    for ranking in rankings:
        positives = times[ranking.truth].sum()
        if not positives:
            continue
        drawn = times[ranking.images]
        hits, misses = (
            np.add.reduceat(of * drawn, ranking.starts, axis=1).cumsum(axis=1)
            for of in (ranking.hits, ranking.misses)
        )
        recall, precision = hits / positives, hits / np.maximum(hits + misses, 1)
        points.append(eleven_points(recall, precision))
        areas.append(area_under(recall[:1], precision[:1]))
    if not points:
        return dict.fromkeys(VOC_SCORES, float("nan"))
    by_threshold = 100 * np.mean(points, axis=0)
    return {
        "voc07_ap50": float(by_threshold[0]),
        "voc07_ap": float(by_threshold.mean()),
        "voc07_ap75": float(by_threshold[5]),
        "voc10_ap50": float(100 * np.mean(areas)),
    }


def _rankings(rows: BoxRows, items: Integers) -> list[_Ranking]:
    """One per class that has a box that counts."""
    if not len(rows.counted_classes):
        return []
    found = np.flatnonzero(~rows.is_truth)
    # Best first. What comes after the score only makes the order one that rows do not decide.
    found = found[np.lexsort((*rows.corners[found].T, rows.items[found], -rows.scores[found]))]
    truth = np.flatnonzero(rows.is_truth)
    truth = truth[np.lexsort((rows.ignore[truth], *rows.corners[truth].T))]
    overlap, matched = _largest_overlaps(rows, items, found, truth)

    difficult = rows.ignore[truth][matched]  # of those without a match arbitrary
    hits = np.zeros((len(THRESHOLDS), len(found)), dtype=np.bool_)
    misses = np.zeros_like(hits)
    for hit, miss, threshold in zip(hits, misses, THRESHOLDS, strict=True):
        over = overlap > threshold
        counted = np.flatnonzero(over & ~difficult)
        _, first = np.unique(matched[counted], return_index=True)  # that finds the box
        hit[counted[first]] = True
        miss[:] = ~over | (~difficult & ~hit)

    places = np.searchsorted(items, rows.items)
    counted_truth = rows.is_truth & ~rows.ignore
    rankings = []
    for class_id in rows.counted_classes:
        own = np.flatnonzero(rows.class_ids[found] == class_id)
        ends = _points(rows.scores[found[own]], hits[:, own])
        own = own[: ends[-1]] if len(ends) else own[:0]
        rankings.append(
            _Ranking(
                places[found[own]],
                hits[:, own],
                misses[:, own],
                np.concatenate([[0], ends])[: len(ends)],
                places[counted_truth & (rows.class_ids == class_id)],
            )
        )
    return rankings


def _points(scores: Doubles, hits: Flags) -> npt.NDArray[np.intp]:
    """How many of the detections (D scores, falling) are ranked when all of a hit's score are.

    ``hits``: thresholds x D.
    """
    of_hits = scores[hits.any(axis=0)]
    return np.unique(np.searchsorted(-scores, -of_hits, side="right"))


def _largest_overlaps(
    rows: BoxRows,
    items: Integers,
    found: npt.NDArray[np.intp],
    truth: npt.NDArray[np.intp],
) -> tuple[Doubles, npt.NDArray[np.intp]]:
    """For each row of ``found`` the largest IoU with a box of its image and class, and which that
    is among ``truth``; -1 and the first where there is none."""
    place = np.searchsorted(items, rows.items) + len(items) * rows.class_ids
    order = np.argsort(place[truth], kind="stable")
    sorted_places = place[truth][order]
    start = np.searchsorted(sorted_places, place[found], side="left")
    count = np.searchsorted(sorted_places, place[found], side="right") - start
    # All pairs of a detection and a box, those of one detection side by side.
    one = np.repeat(np.arange(len(found)), count)
    within = np.arange(len(one)) - np.repeat(count.cumsum() - count, count)
    other = order[np.repeat(start, count) + within]
    iou = _iou(rows.corners[found[one]], rows.corners[truth[other]])

    overlap = np.full(len(found), -1.0)
    np.maximum.at(overlap, one, iou)
    best = np.flatnonzero(iou == overlap[one])
    matched = np.zeros(len(found), dtype=np.intp)
    matched[one[best[::-1]]] = other[best[::-1]]  # of equal ones the first is written last
    return overlap, matched


def _iou(boxes: Doubles, others: Doubles) -> Doubles:
    """Of pairs (N x 4 each): left, top, right, bottom."""
    corner = np.minimum(boxes[:, 2:], others[:, 2:])
    sides = (corner - np.maximum(boxes[:, :2], others[:, :2])).clip(0)
    common = sides.prod(axis=1)
    areas = [(of[:, 2:] - of[:, :2]).prod(axis=1) for of in (boxes, others)]
    iou: Doubles = common / np.maximum(areas[0] + areas[1] - common, np.finfo(np.float64).eps)
    return iou
