"""COCO's average precision and recall of a table of boxes, by faster-coco-eval, and resampling.

Lin et al., arXiv:1405.0312: AP is the mean over ten IoU thresholds (0.50 to 0.95), 101 recalls and
the classes that have a box to be found. Whether a detection matches a box depends on no other
image. So a bootstrap over images matches once and only accumulates anew, at some milliseconds a
draw.

A detection in an ignored box counts neither for nor against, with overlap measured as for COCO's
crowds (the share of the detection that is covered). Where a table says how large objects are, it
has all twelve of COCO's scores: also AP and AR (recall, averaged over the thresholds) of small
(below 32 x 32 pixels), medium and large objects (from 96 x 96 pixels on).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.faster_eval_api_cpp import COCOevalAccumulate

from sslbench.metrics.box_table import BoxRows, Integers, Times

COCO_SCORES = ("ap50", "ap", "ap75")
SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
MOST_DETECTIONS = (1, 10, 100)  # of an image and class, for recall; precision is of the last
SUMMARY_SCORES = (  # what COCO's summary says beside them
    *(f"ap_{size}" for size in SIZES),
    *(f"ar{most}" for most in MOST_DETECTIONS),
    *(f"ar_{size}" for size in SIZES),
)
EVERY_AREA = (0.0, 1e10)


@dataclass(frozen=True)
class _Matches:
    """Which detection hit which box, by class, size and image; all that resampling needs."""

    images: int
    classes: int
    params: Any  # faster-coco-eval's own
    outcomes: Sequence[Any]  # classes x sizes x images, opaque


def coco_scores(rows: BoxRows, items: Integers) -> Callable[[Times], dict[str, float]]:
    """COCO's scores in percent of resamples of images, matched only once.

    ``items``: all images, ascending. The function is handed how often each occurs. A score without
    any box that counts is NaN.
    """
    found = _matches(rows, items)
    return lambda times: _accumulated(found, times)


def _matches(rows: BoxRows, items: Integers) -> _Matches:
    """Detections matched to the boxes of their image, at every IoU threshold."""
    classes = rows.counted_classes
    images = [{"id": int(item)} for item in items]
    categories = [{"id": int(class_id), "name": str(class_id)} for class_id in classes]

    def annotated(places: npt.NDArray[np.intp], truth: bool) -> COCO:
        annotations = []
        for number, row in enumerate(places.tolist(), start=1):  # the library takes id 0 for none
            x0, y0, x1, y1 = rows.corners[row].tolist()
            annotation = {
                "id": number,
                "image_id": int(rows.items[row]),
                "category_id": int(rows.class_ids[row]),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": int(rows.ignore[row]),
            }
            if not truth:
                annotation["score"] = float(rows.scores[row])
            elif rows.areas is not None:
                annotation["area"] = float(rows.areas[row])
            annotations.append(annotation)
        return COCO({"images": images, "categories": categories, "annotations": annotations})

    counted = np.isin(rows.class_ids, classes)
    evaluator = COCOeval_faster(
        annotated(np.flatnonzero(counted & rows.is_truth), truth=True),
        annotated(np.flatnonzero(counted & ~rows.is_truth), truth=False),
        iouType="bbox",
        separate_eval=True,  # keep the matches apart from their accumulation
    )
    whole = rows.areas is not None
    areas = {"all": EVERY_AREA, **(SIZES if whole else {})}
    evaluator.params.areaRng = [list(area) for area in areas.values()]
    evaluator.params.areaRngLbl = list(areas)
    evaluator.params.maxDets = list(MOST_DETECTIONS if whole else MOST_DETECTIONS[-1:])
    if len(classes) == 0:  # the library would take "no class" for "every class"
        return _Matches(len(items), 0, evaluator.params, [])
    evaluator.evaluate()
    return _Matches(len(items), len(classes), evaluator.params, evaluator._evalImgs_cpp)


def _accumulated(found: _Matches, times: Times) -> dict[str, float]:
    """The scores when image ``i`` of the matches occurs ``times[i]`` times."""
    if times.shape != (found.images,):
        raise ValueError(
            f"a multiplicity for each of {found.images} images expected, given {times.shape}"
        )
    sizes = found.params.areaRngLbl
    names = COCO_SCORES + (SUMMARY_SCORES if len(sizes) > 1 else ())
    drawn = np.repeat(np.arange(found.images), times).tolist()
    if found.classes == 0 or not drawn:
        return dict.fromkeys(names, float("nan"))
    outcomes = [
        found.outcomes[place * found.images + image]
        for place in range(found.classes * len(sizes))
        for image in drawn
    ]
    found.params.imgIds = drawn  # only their number is used
    counts = COCOevalAccumulate(found.params, outcomes)
    thresholds, recalls, *rest = counts["counts"]
    precision = np.asarray(counts["precision"]).reshape(thresholds, recalls, *rest)  # .. K x A x M
    recall = np.asarray(counts["recall"]).reshape(thresholds, *rest)

    by_threshold = 100 * _known(precision[..., 0, -1]).mean(axis=(1, 2))  # IoU 0.50, 0.55 ... 0.95
    scores = {"ap50": by_threshold[0], "ap": by_threshold.mean(), "ap75": by_threshold[5]}
    if len(sizes) > 1:
        for place, size in enumerate(SIZES, start=1):
            scores[f"ap_{size}"] = 100 * _known(precision[..., place, -1]).mean()
            scores[f"ar_{size}"] = 100 * _known(recall[..., place, -1]).mean()
        for place, most in enumerate(MOST_DETECTIONS):
            scores[f"ar{most}"] = 100 * _known(recall[..., 0, place]).mean()
    return {name: float(scores[name]) for name in names}


def _known(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Without the classes (last axis) of which no drawn image shows a box: -1 throughout.

    Of none at all: one class of NaN, so that a mean is NaN without a warning.
    """
    kept = values[..., values.reshape(-1, values.shape[-1])[0] > -1]
    return kept if kept.shape[-1] else np.full((*values.shape[:-1], 1), np.nan)
