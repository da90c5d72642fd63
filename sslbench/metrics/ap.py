"""COCO's average precision of a table of boxes, by faster-coco-eval, and its resampling.

Lin et al., arXiv:1405.0312: AP is the mean over ten IoU thresholds (0.50 to 0.95), 101 recalls and
the classes that have a box to be found. Whether a detection matches a box depends on no other
image. So a bootstrap over images matches once and only accumulates anew, at some milliseconds a
draw.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.faster_eval_api_cpp import COCOevalAccumulate

from sslbench.errors import DataError

DETECTIONS_PER_IMAGE = 100  # of one class; COCO's largest limit
EVERY_AREA = [0.0, 1e10]

BOX_TABLE = pa.schema(
    [
        pa.field("item", pa.int64(), nullable=False),  # position of the image in its split
        pa.field("kind", pa.string(), nullable=False),  # "truth" or "detection"
        pa.field("class_id", pa.int64(), nullable=False),
        pa.field("score", pa.float32()),  # null for truth
        pa.field("x0", pa.float32(), nullable=False),  # pixels of the image as it is stored
        pa.field("y0", pa.float32(), nullable=False),
        pa.field("x1", pa.float32(), nullable=False),
        pa.field("y1", pa.float32(), nullable=False),
        pa.field("ignore", pa.bool_(), nullable=False),  # truth that is neither hit nor miss
    ]
)


Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


def truth_rows(
    items: Integers, class_ids: Integers, boxes: Floats, ignore: npt.NDArray[np.bool_]
) -> pa.Table:
    """Boxes to be found (N x 4: left, top, right, bottom) as rows of ``BOX_TABLE``."""
    return _rows(items, "truth", class_ids, pa.nulls(len(items), pa.float32()), boxes, ignore)


def detection_rows(items: Integers, class_ids: Integers, scores: Floats, boxes: Floats) -> pa.Table:
    """Detections (boxes N x 4: left, top, right, bottom) as rows of ``BOX_TABLE``."""
    none = np.zeros(len(items), dtype=np.bool_)
    return _rows(items, "detection", class_ids, scores, boxes, none)


def _rows(
    items: Integers,
    kind: str,
    class_ids: Integers,
    scores: Floats | pa.Array,
    boxes: Floats,
    ignore: npt.NDArray[np.bool_],
) -> pa.Table:
    columns = [items, pa.repeat(kind, len(items)), class_ids, scores, *boxes.T, ignore]
    return pa.Table.from_arrays(
        [pa.array(c, f.type) for c, f in zip(columns, BOX_TABLE, strict=True)], schema=BOX_TABLE
    )


@dataclass(frozen=True)
class Matches:
    """Which detection hit which box, by class and image; all that resampling needs."""

    items: npt.NDArray[np.int64]  # the images, ascending
    classes: int
    params: Any  # faster-coco-eval's own, its images being `items`
    outcomes: Sequence[Any]  # classes x images, class by class, opaque


def average_precision(table: pa.Table) -> dict[str, float]:
    """``ap``, ``ap50`` and ``ap75`` in percent of a table with the columns of ``BOX_TABLE``.

    Detections that lie in an ignored box count neither for nor against, with overlap measured as
    for COCO's crowds (the share of the detection that is covered). Raises DataError if the table
    has no box that counts.
    """
    found = matches(table)
    scores = _accumulated(found, np.ones(len(found.items), dtype=np.int64))
    if any(np.isnan(score) for score in scores.values()):
        raise DataError(
            "average precision needs a truth box that is not ignored, and the table has none. "
            "Check the test split's annotations"
        )
    return scores


def resampled_precision(
    table: pa.Table,
) -> Callable[[npt.NDArray[np.integer[Any]]], dict[str, float]]:
    """``average_precision`` of resamples of images, matched only once.

    The function is handed how often every image occurs: as many integers as the table has
    different items, in ascending order of item. A resample without any box that counts is NaN.
    """
    found = matches(table)
    return lambda times: _accumulated(found, times)


def matches(table: pa.Table) -> Matches:
    """Detections matched to the boxes of their image, at every IoU threshold."""
    boxes, corners = _columns(table)
    is_truth = boxes["kind"] == "truth"
    # Classes without a box that counts have no recall and so no part in the mean.
    classes = np.unique(boxes["class_id"][is_truth & ~boxes["ignore"]])
    items = np.unique(boxes["item"])
    images = [{"id": int(item)} for item in items]
    categories = [{"id": int(class_id), "name": str(class_id)} for class_id in classes]

    def annotated(rows: npt.NDArray[np.intp], truth: bool) -> COCO:
        annotations = []
        for number, row in enumerate(rows.tolist(), start=1):  # the library takes id 0 for none
            x0, y0, x1, y1 = corners[row].tolist()
            annotation = {
                "id": number,
                "image_id": int(boxes["item"][row]),
                "category_id": int(boxes["class_id"][row]),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": int(boxes["ignore"][row]),
            }
            if not truth:
                annotation["score"] = float(boxes["score"][row])
            annotations.append(annotation)
        return COCO({"images": images, "categories": categories, "annotations": annotations})

    counted = np.isin(boxes["class_id"], classes)
    evaluator = COCOeval_faster(
        annotated(np.flatnonzero(counted & is_truth), truth=True),
        annotated(np.flatnonzero(counted & ~is_truth), truth=False),
        iouType="bbox",
        separate_eval=True,  # keep the matches apart from their accumulation
    )
    evaluator.params.areaRng, evaluator.params.areaRngLbl = [EVERY_AREA], ["all"]
    evaluator.params.maxDets = [DETECTIONS_PER_IMAGE]
    if len(classes) == 0:  # the library would take "no class" for "every class"
        return Matches(items, 0, evaluator.params, [])
    evaluator.evaluate()
    return Matches(items, len(classes), evaluator.params, evaluator._evalImgs_cpp)


def _columns(table: pa.Table) -> tuple[dict[str, Any], npt.NDArray[np.float64]]:
    missing = [name for name in BOX_TABLE.names if name not in table.column_names]
    if missing:
        raise DataError(
            f"a table of boxes has the columns {', '.join(BOX_TABLE.names)}; "
            f"missing: {', '.join(missing)}"
        )
    boxes = {name: table[name].to_numpy() for name in ("item", "kind", "class_id", "ignore")}
    boxes["score"] = table["score"].to_numpy()  # null becomes NaN
    unknown = set(boxes["kind"]) - {"truth", "detection"}
    if unknown:
        raise DataError(f"column kind: 'truth' or 'detection' expected, found {sorted(unknown)}")
    corners = np.stack(
        [table[name].to_numpy().astype(np.float64) for name in ("x0", "y0", "x1", "y1")], axis=1
    )  # N x 4
    if np.isnan(boxes["score"][boxes["kind"] == "detection"]).any() or np.isnan(corners).any():
        raise DataError(
            "a table of boxes holds a detection without a score or a box without corners"
        )
    return boxes, corners


def _accumulated(found: Matches, times: npt.NDArray[np.integer[Any]]) -> dict[str, float]:
    """AP when image ``i`` of the matches occurs ``times[i]`` times."""
    images = len(found.items)
    if times.shape != (images,):
        raise ValueError(
            f"a multiplicity for each of {images} images expected, given {times.shape}"
        )
    drawn = np.repeat(np.arange(images), times).tolist()
    nothing = {"ap": float("nan"), "ap50": float("nan"), "ap75": float("nan")}
    if found.classes == 0 or not drawn:
        return nothing
    outcomes = [
        found.outcomes[class_id * images + image]
        for class_id in range(found.classes)
        for image in drawn
    ]
    found.params.imgIds = drawn  # only their number is used
    counts = COCOevalAccumulate(found.params, outcomes)
    precision = np.asarray(counts["precision"]).reshape(counts["counts"])  # T x R x K x 1 x 1
    # A class that no drawn image shows is -1 throughout.
    precision = precision[:, :, precision[0, 0, :, 0, 0] > -1]
    if precision.size == 0:
        return nothing
    by_threshold = 100 * precision.mean(axis=(1, 2, 3, 4))  # of IoU 0.50, 0.55 ... 0.95
    return {
        "ap": float(by_threshold.mean()),
        "ap50": float(by_threshold[0]),
        "ap75": float(by_threshold[5]),
    }
