"""Average precision against faster-coco-eval's own summary and a loop from the definition."""

import numpy as np
import pyarrow as pa
import pytest
from faster_coco_eval import COCO, COCOeval_faster

from sslbench.errors import DataError
from sslbench.metrics.ap import BOX_TABLE, average_precision, resampled_precision


def random_table(seed, images=12, classes=3, ignored=0.2, noise=4.0):
    """Truth, a jittered detection of most of it, and detections at random."""
    draw = np.random.default_rng(seed)
    rows = []

    def add(item, kind, class_id, score, box, ignore=False):
        rows.append((item, kind, class_id, score, *np.float32(box).tolist(), ignore))

    for item in range(0, 3 * images, 3):  # positions with gaps
        for _ in range(draw.integers(0, 5)):
            corner, size = draw.uniform(0, 60, 2), draw.uniform(8, 36, 2)
            box = np.concatenate([corner, corner + size])
            class_id = int(draw.integers(classes))
            add(item, "truth", class_id, None, box, bool(draw.uniform() < ignored))
            for _ in range(draw.integers(0, 3)):
                moved = box + draw.normal(0, noise, 4)
                moved[2:] = np.maximum(moved[2:], moved[:2] + 1)
                add(item, "detection", class_id, round(draw.uniform(), 2), moved)
        for _ in range(draw.integers(0, 6)):
            corner, size = draw.uniform(0, 60, 2), draw.uniform(8, 36, 2)
            add(
                item,
                "detection",
                int(draw.integers(classes + 1)),
                round(draw.uniform(), 2),
                np.concatenate([corner, corner + size]),
            )
    return table_of(rows)


def table_of(rows):
    columns = list(zip(*rows, strict=True)) if rows else [[] for _ in BOX_TABLE]
    return pa.table(
        {
            field.name: pa.array(list(c), field.type)
            for field, c in zip(BOX_TABLE, columns, strict=True)
        }
    )


def library_summary(table):
    """What faster-coco-eval prints by itself, from plain dictionaries."""
    frame = table.to_pandas()
    truth, found = frame[frame.kind == "truth"], frame[frame.kind == "detection"]
    classes = [{"id": int(c), "name": str(c)} for c in sorted(truth.class_id.unique())]
    images = [{"id": int(i), "width": 96, "height": 96} for i in sorted(frame["item"].unique())]

    def annotation(row):
        return {
            "image_id": row.item,
            "category_id": row.class_id,
            "bbox": [row.x0, row.y0, row.x1 - row.x0, row.y1 - row.y0],
        }

    truths = [
        {**annotation(row), "id": n + 1, "iscrowd": int(row.ignore), "area": 100.0}
        for n, row in enumerate(truth.itertuples())
    ]
    gt = COCO({"images": images, "categories": classes, "annotations": truths})
    known = found[found.class_id.isin(truth.class_id)]
    dt = gt.loadRes([{**annotation(row), "score": row.score} for row in known.itertuples()])
    evaluator = COCOeval_faster(gt, dt, iouType="bbox", print_function=lambda *_: None)
    evaluator.run()
    return {name: 100 * evaluator.stats[i] for i, name in enumerate(("ap", "ap50", "ap75"))}


def duplicated(table, times):
    """The table in which image ``i`` occurs ``times[i]`` times under positions of its own."""
    frame = table.to_pandas()
    copies, number = [], 0
    for item, count in zip(sorted(frame["item"].unique()), times, strict=True):
        for _ in range(count):
            copies.append(frame[frame["item"] == item].assign(item=number))
            number += 1
    import pandas as pd

    return pa.Table.from_pandas(pd.concat(copies), schema=BOX_TABLE, preserve_index=False)


def naive_ap(table, threshold):
    """COCO's definition for one class without ignored boxes, in loops."""
    frame = table.to_pandas()
    truth = frame[frame.kind == "truth"]
    hits = []
    used = set()
    for d in frame[frame.kind == "detection"].sort_values("score", ascending=False).itertuples():
        best, best_iou = None, threshold
        for g in truth[truth["item"] == d.item].itertuples():
            width = min(d.x1, g.x1) - max(d.x0, g.x0)
            height = min(d.y1, g.y1) - max(d.y0, g.y0)
            common = max(width, 0) * max(height, 0)
            union = (d.x1 - d.x0) * (d.y1 - d.y0) + (g.x1 - g.x0) * (g.y1 - g.y0) - common
            if g.Index not in used and common / union >= best_iou:
                best, best_iou = g.Index, common / union
        used.add(best)
        hits.append(best is not None)
    curve = []  # recall, precision
    for n in range(1, len(hits) + 1):
        curve.append((sum(hits[:n]) / len(truth), sum(hits[:n]) / n))
    return 100 * np.mean(
        [max((p for r, p in curve if r >= level), default=0.0) for level in np.linspace(0, 1, 101)]
    )


@pytest.mark.parametrize("seed", range(5))
def test_ap_is_that_of_faster_coco_eval(seed):
    table = random_table(seed)
    assert average_precision(table) == pytest.approx(library_summary(table), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_ap_is_that_of_the_definition(seed):
    table = random_table(seed, classes=1, ignored=0.0)
    table = table.filter(pa.compute.equal(table["class_id"], 0))
    # Distinct scores, for the loop's sort is not the library's.
    scores = [None if s is None else s + n * 1e-4 for n, s in enumerate(table["score"].to_pylist())]
    table = table.set_column(3, BOX_TABLE.field("score"), pa.array(scores, pa.float32()))
    scored = average_precision(table)
    assert scored["ap50"] == pytest.approx(naive_ap(table, 0.5), abs=1e-6)
    assert scored["ap75"] == pytest.approx(naive_ap(table, 0.75), abs=1e-6)
    thresholds = np.linspace(0.5, 0.95, 10)
    assert scored["ap"] == pytest.approx(
        np.mean([naive_ap(table, t) for t in thresholds]), abs=1e-6
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_resample_is_the_table_with_its_images_duplicated(seed):
    table = random_table(seed, images=8)
    images = len(table["item"].unique())
    draw = np.random.default_rng(seed + 100)
    times = [np.bincount(draw.integers(0, images, images), minlength=images) for _ in range(6)]
    wanted = [library_summary(duplicated(table, t)) for t in times]
    for got, want in zip(map(resampled_precision(table), times), wanted, strict=True):
        assert got == pytest.approx(want, abs=1e-6)


def test_resampling_each_image_once_changes_nothing():
    table = random_table(7)
    once = np.ones(len(table["item"].unique()), dtype=np.int64)
    assert resampled_precision(table)(once) == average_precision(table)


def test_perfect_boxes_score_100_and_boxes_of_other_images_next_to_nothing():
    truth = random_table(3, images=40, ignored=0.0)
    truth = truth.filter(pa.compute.equal(truth["kind"], "truth")).to_pandas()

    def scored(item):
        found = truth.assign(kind="detection", score=0.5, item=item)
        both = [pa.Table.from_pandas(f, BOX_TABLE, preserve_index=False) for f in (truth, found)]
        return average_precision(pa.concat_tables(both))

    assert scored(truth["item"]) == pytest.approx({"ap": 100, "ap50": 100, "ap75": 100})
    assert scored(np.roll(truth["item"], len(truth) // 2))["ap50"] < 5


def test_a_detection_of_an_ignored_box_counts_neither_way():
    box, elsewhere = (10, 10, 30, 30), (50, 50, 70, 70)
    rows = [
        (0, "truth", 0, None, *box, False),
        (0, "truth", 0, None, *elsewhere, True),
        (0, "detection", 0, 0.5, *box, False),
    ]
    beside_it = (0, "detection", 0, 0.9, *elsewhere, False)
    astray = (0, "detection", 0, 0.9, 0, 60, 20, 80, False)
    assert average_precision(table_of(rows))["ap"] == pytest.approx(100)
    assert average_precision(table_of([*rows, beside_it]))["ap"] == pytest.approx(100)
    assert average_precision(table_of([*rows, astray]))["ap"] == pytest.approx(50)


def test_truth_without_detections_scores_nothing():
    assert average_precision(table_of([(0, "truth", 0, None, 1, 1, 9, 9, False)]))["ap"] == 0


def test_a_table_without_a_box_to_find_is_refused():
    only_ignored = table_of([(0, "truth", 0, None, 1, 1, 9, 9, True)])
    for table in (only_ignored, table_of([])):
        with pytest.raises(DataError, match="not ignored"):
            average_precision(table)


def test_a_resample_without_a_box_to_find_is_nan():
    rows = [
        (0, "truth", 0, None, 1, 1, 9, 9, False),
        (1, "detection", 0, 0.5, 1, 1, 9, 9, False),
    ]
    scores = resampled_precision(table_of(rows))(np.array([0, 2]))
    assert np.isnan(list(scores.values())).all()


def test_a_table_that_lacks_a_column_or_a_score_is_refused():
    with pytest.raises(DataError, match="missing: x1, ignore"):
        average_precision(random_table(0).drop_columns(["x1", "ignore"]))
    with pytest.raises(DataError, match="without a score"):
        average_precision(table_of([(0, "detection", 0, None, 1, 1, 9, 9, False)]))
