"""All scores of one table: over trials, and what is refused."""

import numpy as np
import pyarrow as pa
import pytest

from sslbench.errors import DataError
from sslbench.metrics.box_scores import (
    box_scores,
    deviation,
    resampled_box_scores,
    score_names,
)
from sslbench.metrics.box_table import (
    detection_rows,
    empty_rows,
    of_trial,
    truth_rows,
    with_areas,
)
from sslbench.stats.items import ItemRows

BOX, ELSEWHERE = [10, 10, 30, 30], [50, 50, 70, 70]


def truth(*items, ignore=False):
    boxes = np.float32([BOX] * len(items)).reshape(-1, 4)
    return truth_rows(
        np.int64(items), np.zeros(len(items), np.int64), boxes, np.full(len(items), ignore)
    )


def found(*items, box=BOX):
    boxes = np.float32([box] * len(items)).reshape(-1, 4)
    return detection_rows(
        np.int64(items), np.zeros(len(items), np.int64), np.float32([0.5] * len(items)), boxes
    )


def trials(*tables):
    return pa.concat_tables([of_trial(table, number) for number, table in enumerate(tables)])


def test_scores_are_means_over_trials_with_their_deviation():
    right = pa.concat_tables([truth(0, 1), found(0, 1)])
    wrong = pa.concat_tables([truth(0, 1), found(0, 1, box=ELSEWHERE)])
    scores = box_scores(trials(right, right, wrong))
    names = score_names(full_summary=False)
    assert set(scores) == {*names, *map(deviation, names)}
    for name in names:
        assert scores[name] == pytest.approx(200 / 3)
        assert scores[deviation(name)] == pytest.approx(100 / np.sqrt(3))
    assert box_scores(right) == pytest.approx(dict.fromkeys(names, 100))


def test_all_trials_of_a_resample_are_of_the_same_images():
    first = pa.concat_tables([truth(0, 3), found(0, 3)])
    second = pa.concat_tables([truth(0, 3), found(3)])  # image 0 has no row of the detector
    scores = resampled_box_scores(trials(first, second))
    assert scores(np.array([0, 2]))["ap50"] == pytest.approx(100)
    assert scores(np.array([2, 0]))["ap50"] == pytest.approx(50)
    nothing_to_find = pa.concat_tables([truth(0, 3), found(0, 3, 7)])
    only_here = resampled_box_scores(trials(first, nothing_to_find))
    assert only_here(np.array([1, 1, 0]))["ap50"] == pytest.approx(100)
    assert np.isnan(list(only_here(np.array([0, 0, 1])).values())).all()


def test_images_without_boxes_are_drawn_whatever_was_found_on_them():
    whole = pa.concat_tables([truth(0, 3), empty_rows(np.int64([1, 2]))])
    clean = pa.concat_tables([whole, found(0, 3)])
    mistaken = pa.concat_tables([whole, found(0, 3, 2)])
    assert ItemRows(clean).items == ItemRows(mistaken).items == 4
    assert box_scores(clean) == box_scores(pa.concat_tables([truth(0, 3), found(0, 3)]))
    scores = resampled_box_scores(clean)
    assert scores(np.array([2, 1, 1, 0]))["ap50"] == pytest.approx(100)
    assert np.isnan(scores(np.array([0, 2, 2, 0]))["ap50"])


def test_a_table_without_a_box_to_find_is_refused():
    for table in (truth(0, ignore=True), truth(), trials(truth(0, ignore=True), truth(0))):
        with pytest.raises(DataError, match="not ignored"):
            box_scores(table)


def test_a_whole_summary_without_objects_of_a_size_is_refused():
    table = with_areas(truth(0, 1), np.float32([400, 2000]))
    with pytest.raises(DataError, match=r"^ap_large, ar_large: .*some of each"):
        box_scores(table)


def test_a_table_that_lacks_a_column_a_score_or_an_area_is_refused():
    table = pa.concat_tables([truth(0), found(0)])
    with pytest.raises(DataError, match="missing: x1, ignore"):
        box_scores(table.drop_columns(["x1", "ignore"]))
    with pytest.raises(DataError, match="missing: item"):
        box_scores(table.drop_columns(["item"]))
    nameless = table.set_column(1, "kind", pa.array(["detection", "detection"]))
    with pytest.raises(DataError, match="without a score"):
        box_scores(nameless)
    odd = table.set_column(1, "kind", pa.array(["truth", "guess"]))
    with pytest.raises(DataError, match="'guess'"):
        box_scores(odd)
    with pytest.raises(DataError, match="without one"):
        box_scores(with_areas(table, None))
