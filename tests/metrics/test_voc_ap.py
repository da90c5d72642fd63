"""VOC's average precision against the development kit's loops."""

import numpy as np
import pyarrow as pa
import pytest

from sslbench.metrics.box_table import BOX_TABLE, trials_of
from sslbench.metrics.voc_ap import THRESHOLDS, area_under, eleven_points, voc_scores


def scored(table, times=None):
    items = np.unique(table["item"].to_numpy())
    (rows,) = trials_of(table)
    return voc_scores(rows, items)(np.ones(len(items), dtype=np.int64) if times is None else times)


def table_of(rows):
    columns = list(zip(*rows, strict=True)) if rows else [[] for _ in BOX_TABLE]
    return pa.table(
        {f.name: pa.array(list(c), f.type) for f, c in zip(BOX_TABLE, columns, strict=True)}
    )


def random_rows(seed, images=10, classes=3, difficult=0.2, noise=4.0):
    """Boxes on whole pixels, as VOC's are; every score occurs once."""
    draw = np.random.default_rng(seed)
    rows = []
    for item in range(0, 2 * images, 2):
        for _ in range(draw.integers(0, 6)):
            corner, size = draw.integers(0, 40, 2), draw.integers(4, 30, 2)
            box = np.concatenate([corner, corner + size])
            class_id = int(draw.integers(classes))
            rows.append((item, "truth", class_id, None, *box, draw.uniform() < difficult))
            for _ in range(draw.integers(0, 3)):
                moved = box + np.round(draw.normal(0, noise, 4))
                moved[2:] = np.maximum(moved[2:], moved[:2] + 1)
                rows.append((item, "detection", class_id, 0.0, *moved, False))
        for _ in range(draw.integers(0, 4)):
            corner, size = draw.integers(0, 60, 2), draw.integers(4, 30, 2)
            box = (*corner, *(corner + size))
            rows.append((item, "detection", int(draw.integers(classes + 1)), 0.0, *box, False))
    scores = iter(draw.permutation(len(rows)) / len(rows))
    return [
        (item, kind, int(cls), next(scores) if kind == "detection" else None, *map(float, rest[:4]),
         bool(rest[4]))
        for item, kind, cls, _, *rest in rows
    ]  # fmt: skip


def kit(rows, threshold):
    """The kit's ``VOCevaldet`` in loops: 11-point and area AP, means over the classes to be found.

    It counts pixels from 1 and includes the last, so that a width is a difference plus one.
    """
    eleven, area = [], []
    for class_id in sorted({r[2] for r in rows if r[1] == "truth" and not r[8]}):
        truth = [r for r in rows if r[1] == "truth" and r[2] == class_id]
        found = [r for r in rows if r[1] == "detection" and r[2] == class_id]
        positives = sum(not r[8] for r in truth)
        taken = set()
        hits, misses = [], []
        for one in sorted(found, key=lambda r: -r[3]):
            best, most = None, -np.inf
            left, top, right, bottom = one[4] + 1, one[5] + 1, one[6], one[7]
            for number, other in enumerate(truth):
                if other[0] != one[0]:
                    continue
                l2, t2, r2, b2 = other[4] + 1, other[5] + 1, other[6], other[7]
                width = min(right, r2) - max(left, l2) + 1
                height = min(bottom, b2) - max(top, t2) + 1
                if width > 0 and height > 0:
                    union = (
                        (right - left + 1) * (bottom - top + 1)
                        + (r2 - l2 + 1) * (b2 - t2 + 1)
                        - width * height
                    )
                    if width * height / union > most:
                        best, most = number, width * height / union
            hit = miss = 0
            if most > threshold:
                if not truth[best][8]:
                    hit, miss = (0, 1) if best in taken else (1, 0)
                    taken.add(best)
            else:
                miss = 1
            hits.append(hit)
            misses.append(miss)
        recall = [sum(hits[: n + 1]) / positives for n in range(len(hits))]
        precision = [
            sum(hits[: n + 1]) / max(sum(hits[: n + 1]) + sum(misses[: n + 1]), 1e-16)
            for n in range(len(hits))
        ]
        curve = list(zip(recall, precision, strict=True))
        eleven.append(
            sum(max((p for r, p in curve if r >= t), default=0) for t in np.arange(0, 1.1, 0.1))
            / 11
        )
        recalls, precisions = [0, *recall, 1], [0, *precision, 0]
        for n in reversed(range(len(precisions) - 1)):
            precisions[n] = max(precisions[n], precisions[n + 1])
        area.append(
            sum(
                (recalls[n] - recalls[n - 1]) * precisions[n]
                for n in range(1, len(recalls))
                if recalls[n] != recalls[n - 1]
            )
        )
    return 100 * np.mean(eleven), 100 * np.mean(area)


def kit_scores(rows):
    eleven, area = np.array([kit(rows, threshold) for threshold in THRESHOLDS]).T
    return {
        "voc07_ap50": eleven[0],
        "voc07_ap": eleven.mean(),
        "voc07_ap75": eleven[5],
        "voc10_ap50": area[0],
    }


@pytest.mark.parametrize("seed", range(25))
def test_scores_are_those_of_the_kit(seed):
    noise = (1.0, 4.0, 8.0)[seed % 3]
    rows = random_rows(seed, images=1 + seed % 12, classes=1 + seed % 4, noise=noise)
    if all(r[1] != "truth" or r[8] for r in rows):
        pytest.fail("a seed without a box to find tests nothing")
    assert scored(table_of(rows)) == pytest.approx(kit_scores(rows), abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_a_resample_is_the_table_with_its_images_duplicated(seed):
    rows = random_rows(seed, images=8)
    items = sorted({r[0] for r in rows})
    draw = np.random.default_rng(seed + 100)
    times = np.bincount(draw.integers(0, len(items), len(items)), minlength=len(items))
    copies = [
        (100 * copy + item, *rest)
        for item, *rest in rows
        for copy in range(times[items.index(item)])
    ]
    assert scored(table_of(rows), times) == pytest.approx(kit_scores(copies), abs=1e-9)


def test_the_order_of_rows_never_matters_not_even_between_equal_scores():
    rows = random_rows(5, images=20)
    rows = [(*r[:3], None if r[3] is None else round(r[3], 1), *r[4:]) for r in rows]
    wanted = scored(table_of(rows))
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(rows))
        assert scored(table_of([rows[place] for place in order])) == wanted


def test_of_equal_scores_all_enter_the_ranking_at_once():
    box, elsewhere = (10, 10, 30, 30), (50, 50, 70, 70)
    rows = [
        (0, "truth", 0, None, *box, False),
        (0, "detection", 0, 0.5, *box, False),
        (0, "detection", 0, 0.5, *elsewhere, False),
    ]
    assert scored(table_of(rows))["voc10_ap50"] == pytest.approx(50)


def test_eleven_points_of_a_curve_worked_out_by_hand():
    # Two of four boxes found: hit, miss, hit. Recalls 0 to 0.2 have precision 1, 0.3 to 0.5 have
    # 2/3, and beyond there is none.
    recall, precision = np.array([[0.25, 0.25, 0.5]]), np.array([[1, 1 / 2, 2 / 3]])
    assert eleven_points(recall, precision) == pytest.approx((3 * 1 + 3 * 2 / 3) / 11)
    assert area_under(recall, precision) == pytest.approx(0.25 * 1 + 0.25 * 2 / 3)
    nothing = np.empty((1, 0))
    assert eleven_points(nothing, nothing) == area_under(nothing, nothing) == 0


def test_an_overlap_of_just_the_threshold_is_a_miss():
    truth, half = (0, 0, 10, 10), (0, 0, 10, 5)
    rows = [(0, "truth", 0, None, *truth, False), (0, "detection", 0, 0.5, *half, False)]
    assert scored(table_of(rows))["voc07_ap50"] == 0
    larger = (0, 0, 10, 5.5)
    rows[1] = (0, "detection", 0, 0.5, *larger, False)
    assert scored(table_of(rows))["voc07_ap50"] == pytest.approx(100)


def test_a_detection_of_a_difficult_box_counts_neither_way():
    box, elsewhere = (10, 10, 30, 30), (50, 50, 70, 70)
    rows = [
        (0, "truth", 0, None, *box, False),
        (0, "truth", 0, None, *elsewhere, True),
        (0, "detection", 0, 0.5, *box, False),
    ]
    twice = [(0, "detection", 0, score, *elsewhere, False) for score in (0.8, 0.9)]
    second = (0, "detection", 0, 0.9, *box, False)
    assert scored(table_of([*rows, *twice]))["voc10_ap50"] == pytest.approx(100)
    assert scored(table_of([*rows, second]))["voc07_ap50"] == pytest.approx(100)  # a miss after it
    only_difficult = [rows[1], *twice]
    assert np.isnan(list(scored(table_of(only_difficult)).values())).all()


def test_truth_without_detections_scores_nothing():
    assert set(scored(table_of([(0, "truth", 0, None, 1, 1, 9, 9, False)])).values()) == {0.0}
