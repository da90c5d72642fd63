"""COCO's scores against pycocotools and a loop from the definition."""

import contextlib
import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sslbench.metrics.ap import COCO_SCORES, SUMMARY_SCORES, coco_scores
from sslbench.metrics.box_table import BOX_TABLE, trials_of, with_areas

SUMMARY = (  # in the order of pycocotools' summary
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
)


def average_precision(table):
    """Of every image once."""
    items = np.unique(table["item"].to_numpy())
    (rows,) = trials_of(table)
    return coco_scores(rows, items)(np.ones(len(items), dtype=np.int64))


def resampled_precision(table):
    (rows,) = trials_of(table)
    return coco_scores(rows, np.unique(table["item"].to_numpy()))


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
    """What pycocotools says of the same boxes; NaN for what it gives no value."""
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

    def area(row):
        return row.area if "area" in frame else (row.x1 - row.x0) * (row.y1 - row.y0)

    truths = [
        {**annotation(row), "id": n + 1, "iscrowd": int(row.ignore), "area": area(row)}
        for n, row in enumerate(truth.itertuples())
    ]
    known = found[found.class_id.isin(truth.class_id)]
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = {"images": images, "categories": classes, "annotations": truths}
        gt.createIndex()
        results = [{**annotation(row), "score": row.score} for row in known.itertuples()]
        dt = gt.loadRes(results) if results else COCO()
        evaluator = COCOeval(gt, dt, iouType="bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    scores = dict(zip(SUMMARY, evaluator.stats.tolist(), strict=True))
    return {name: np.nan if score < 0 else 100 * score for name, score in scores.items()}


def with_sizes(table, seed):
    """With objects of all sizes, which cover a part of their boxes."""
    draw = np.random.default_rng(seed)
    truth = np.array(table["kind"].to_pylist()) == "truth"
    areas = draw.choice([300.0, 2000.0, 20000.0], table.num_rows)
    return with_areas(table, np.where(truth, areas, np.nan).astype(np.float32))


def short(summary):
    return {name: summary[name] for name in COCO_SCORES}


def duplicated(table, times):
    """The table in which image ``i`` occurs ``times[i]`` times under positions of its own."""
    frame = table.to_pandas()
    copies, number = [], 0
    for item, count in zip(sorted(frame["item"].unique()), times, strict=True):
        for _ in range(count):
            copies.append(frame[frame["item"] == item].assign(item=number))
            number += 1
    return pa.Table.from_pandas(pd.concat(copies), schema=table.schema, preserve_index=False)


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


def agree(seeds):
    """Tables of many kinds: crowded and empty, precise and not, of few classes and of many."""
    for seed in seeds:
        draw = np.random.default_rng(seed)
        options = {
            "images": int(draw.integers(1, 15)),
            "classes": int(draw.integers(1, 6)),
            "ignored": draw.choice([0.0, 0.2, 0.6]),
            "noise": draw.choice([1.0, 4.0, 10.0]),
        }
        table = with_sizes(random_table(seed, **options), seed)
        if not (~table["ignore"].to_numpy()[np.array(table["kind"].to_pylist()) == "truth"]).any():
            continue  # nothing to find
        wanted = library_summary(table)
        assert average_precision(table) == pytest.approx(wanted, abs=1e-6, nan_ok=True), seed
        without = average_precision(table.drop_columns(["area"]))
        assert without == pytest.approx(short(wanted), abs=1e-6, nan_ok=True), seed


def test_all_scores_are_those_of_pycocotools():
    agree(range(50))


@pytest.mark.slow
def test_all_scores_are_those_of_pycocotools_on_a_thousand_tables():
    agree(range(50, 1050))


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
    table = with_sizes(random_table(seed, images=12), seed)
    images = len(table["item"].unique())
    draw = np.random.default_rng(seed + 100)
    times = [np.bincount(draw.integers(0, images, images), minlength=images) for _ in range(6)]
    wanted = [library_summary(duplicated(table, t)) for t in times]
    for got, want in zip(map(resampled_precision(table), times), wanted, strict=True):
        assert got == pytest.approx(want, abs=1e-6, nan_ok=True)


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


def test_a_resample_without_a_box_to_find_is_nan():
    rows = [
        (0, "truth", 0, None, 1, 1, 9, 9, False),
        (1, "detection", 0, 0.5, 1, 1, 9, 9, False),
    ]
    table = table_of(rows)
    for given in (table, with_areas(table, np.float32([64, np.nan]))):
        scores = resampled_precision(given)(np.array([0, 2]))
        assert np.isnan(list(scores.values())).all()
    assert set(scores) == {*COCO_SCORES, *SUMMARY_SCORES}
