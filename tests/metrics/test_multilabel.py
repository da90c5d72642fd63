"""Average precision by class and by image, against loops from the definitions."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from sslbench.errors import DataError
from sslbench.metrics.multilabel import (
    class_average_precision,
    mean_class_average_precision,
    per_image_average_precision,
    resampled_average_precision,
)


def draw(seed, images=25, classes=4, ties=False):
    draws = np.random.default_rng(seed)
    labels = draws.choice([-1, 0, 1], p=[0.1, 0.5, 0.4], size=(images, classes))
    labels[:, 0], labels[0] = 1, 1  # an image that shows all, a class that all show
    scores = draws.normal(labels, 1.0)
    return labels, scores.round() if ties else scores


def curve(labels, scores):
    """(recall, precision) at every threshold, highest first."""
    known = [(s, y) for s, y in zip(scores, labels, strict=True) if y != -1]
    points = []
    for threshold in sorted({s for s, _ in known}, reverse=True):
        found = [y for s, y in known if s >= threshold]
        points.append((sum(found) / sum(y for _, y in known), sum(found) / len(found)))
    return points


def interpolated(labels, scores):
    """VOC's definition: at each recall the best precision of that recall or beyond."""
    points, area, before = curve(labels, scores), 0.0, 0.0
    for recall, _ in points:
        area += (recall - before) * max(p for r, p in points if r >= recall)
        before = recall
    return 100 * area


def as_it_is(labels, scores):
    area, before = 0.0, 0.0
    for recall, precision in curve(labels, scores):
        area += (recall - before) * precision
        before = recall
    return 100 * area


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_both_kinds_of_ap_are_those_of_the_definition(seed, ties):
    labels, scores = draw(seed, ties=ties)
    wanted = [interpolated(labels[:, c], scores[:, c]) for c in range(4)]
    np.testing.assert_allclose(class_average_precision(labels, scores), wanted, atol=1e-9)
    assert mean_class_average_precision(labels, scores) == pytest.approx(np.mean(wanted))
    wanted = [as_it_is(*pair) for pair in zip(labels, scores, strict=True)]
    np.testing.assert_allclose(per_image_average_precision(labels, scores), wanted, atol=1e-9)


def test_a_ranking_is_scored_by_hand():
    labels = np.array([[1], [0], [1], [0]])
    scores = np.array([[4.0], [3.0], [2.0], [1.0]])
    # Half of the recall at precision 1, the other half at 2/3.
    assert class_average_precision(labels, scores) == pytest.approx([100 * (1 / 2 + 1 / 3)])
    assert class_average_precision(labels, -scores) == pytest.approx([50])  # 1/2 beats 1/2 and 1/3


def test_equal_scores_enter_at_once_whatever_the_order_of_rows():
    labels, scores = np.array([[1], [0], [0], [1]]), np.zeros((4, 1))
    for order in ([0, 1, 2, 3], [1, 0, 3, 2], [3, 2, 1, 0]):
        assert class_average_precision(labels[order], scores[order]) == pytest.approx([50])
    labels, scores = draw(0, ties=True)
    order = np.random.default_rng(1).permutation(len(labels))
    np.testing.assert_allclose(
        class_average_precision(labels[order], scores[order]),
        class_average_precision(labels, scores),
        atol=1e-9,
    )


def test_vocs_curve_is_interpolated_and_scikit_learns_is_not():
    labels, scores = draw(1, images=300)
    for cls, found in enumerate(class_average_precision(labels, scores)):
        known = labels[:, cls] >= 0
        as_is = 100 * average_precision_score(labels[known, cls], scores[known, cls])
        assert as_is < found < as_is + 5 or found == as_is == 100
    rising = np.array([[0], [1], [1]]), np.array([[3.0], [2.0], [1.0]])  # precision 0, 1/2, 2/3
    assert class_average_precision(*rising) == pytest.approx([100 * 2 / 3])
    assert average_precision_score(rising[0][:, 0], rising[1][:, 0]) == pytest.approx(7 / 12)


@pytest.mark.parametrize("place", [2, 3, 4, 5, 6])  # of the second hit; the first is on top
def test_both_curves_agree_where_precision_never_rises(place):
    labels = np.isin(np.arange(1, 7), (1, place)).astype(int)[:, None]
    ranks = -np.arange(6.0)[:, None]
    wanted = 100 * (1 + 2 / place) / 2
    assert class_average_precision(labels, ranks) == pytest.approx([wanted])
    assert 100 * average_precision_score(labels[:, 0], ranks[:, 0]) == pytest.approx(wanted)


@pytest.mark.parametrize("ties", [False, True])
def test_a_resample_is_scored_as_its_images_would_be(ties):
    labels, scores = draw(5, images=60, ties=ties)
    of = resampled_average_precision(labels, scores)
    np.testing.assert_allclose(
        of(np.ones(60, dtype=np.int64)), class_average_precision(labels, scores), atol=1e-9
    )
    draws = np.random.default_rng(0)
    for _ in range(20):
        drawn = draws.integers(60, size=60)
        wanted = class_average_precision(labels[drawn], scores[drawn])
        np.testing.assert_allclose(of(np.bincount(drawn, minlength=60)), wanted, atol=1e-9)


def test_a_class_that_a_resample_does_not_show_is_nan():
    labels, scores = np.array([[1, 0], [1, 1], [0, -1]]), np.zeros((3, 2))
    found = resampled_average_precision(labels, scores)(np.array([1, 0, 2]))
    assert found[0] == pytest.approx(100 / 3)
    assert np.isnan(found[1])


def test_difficult_images_count_neither_way():
    labels, scores = draw(3)
    scores = scores.copy()
    before = class_average_precision(labels, scores), per_image_average_precision(labels, scores)
    scores[labels == -1] = np.random.default_rng(1).normal(0, 9, (labels == -1).sum())
    np.testing.assert_array_equal(class_average_precision(labels, scores), before[0])
    np.testing.assert_array_equal(per_image_average_precision(labels, scores), before[1])


def test_perfect_and_monotone_scores():
    labels, scores = draw(0)
    assert mean_class_average_precision(labels, labels * 1.0) == pytest.approx(100)
    np.testing.assert_allclose(
        class_average_precision(labels, np.exp(scores)), class_average_precision(labels, scores)
    )


def test_a_class_without_positives_has_no_ap_and_is_named():
    labels, scores = draw(0)
    labels[:, 2] = np.minimum(labels[:, 2], 0)
    with pytest.raises(DataError, match="not defined for class 2: none of 25 images shows it"):
        class_average_precision(labels, scores)
    with pytest.raises(DataError, match="not defined for class 2"):
        mean_class_average_precision(labels, scores)


def test_an_image_without_classes_has_no_ap_and_is_named():
    labels, scores = draw(0)
    labels[[4, 7]] = np.minimum(labels[[4, 7]], 0)
    with pytest.raises(DataError, match="not defined for image 4, 7"):
        per_image_average_precision(labels, scores)


@pytest.mark.parametrize("metric", [class_average_precision, per_image_average_precision])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(metric, value):
    labels, scores = draw(0)
    scores[3, 1] = value
    with pytest.raises(DataError, match=f"1 scores are not finite.*image 3 for class 1: {value}"):
        metric(labels, scores)


@pytest.mark.parametrize("metric", [class_average_precision, per_image_average_precision])
def test_tables_that_do_not_fit_are_refused(metric):
    labels, scores = draw(0)
    with pytest.raises(DataError, match=r"given \(25, 4\) and \(24, 4\)"):
        metric(labels, scores[1:])
    with pytest.raises(DataError, match="images x classes expected"):
        metric(labels[:0], scores[:0])
    with pytest.raises(DataError, match=r"found \[2\]"):
        metric(labels + (labels == 1), scores)
