"""Average precision by class against PCL's code for VOC07, by image against HCSC's."""

import numpy as np
import pytest

from sslbench.metrics.multilabel import (
    class_average_precision,
    mean_class_average_precision,
    per_image_average_precision,
)
from sslbench.metrics.voc_ap import area_under


def test_golden_voc_ap_by_class(golden):
    arrays = golden("voc_ap")
    labels = (arrays["targets"] > 0).long().numpy()  # recorded as 1 and -1; ours are 1 and 0
    scores = arrays["scores"].numpy()
    np.testing.assert_allclose(
        class_average_precision(labels, scores), 100 * arrays["ap"].numpy(), atol=1e-9, rtol=0
    )
    mean = mean_class_average_precision(labels, scores)
    assert mean == pytest.approx(100 * arrays["mAP"].item(), abs=1e-9, rel=0)


def test_golden_voc_ap_is_the_area_that_detections_are_scored_by(golden):
    arrays = golden("voc_ap")
    columns = (arrays[name].numpy().T for name in ("targets", "scores", "ap"))
    for truth, scores, ap in zip(*columns, strict=True):
        hits = (truth > 0)[np.argsort(-scores, kind="stable")]
        found = hits.cumsum()[None]
        (area,) = area_under(found / hits.sum(), found / np.arange(1, len(hits) + 1))
        assert area == pytest.approx(ap, abs=1e-9, rel=0)


def test_golden_hcsc_ap_by_image_is_no_map(golden):
    arrays = golden("voc_cls_hcsc_ap")
    labels, scores = arrays["targets"].long().numpy(), arrays["scores"].numpy()
    by_image = per_image_average_precision(labels, scores).mean()
    assert by_image == pytest.approx(100 * arrays["per_image_ap_mean"].item(), abs=1e-9, rel=0)
    assert abs(by_image - mean_class_average_precision(labels, scores)) > 1
    # The recorded mean over classes is of curves that are not interpolated.
    by_class = per_image_average_precision(labels.T, scores.T).mean()
    assert by_class == pytest.approx(100 * arrays["per_class_map"].item(), abs=1e-9, rel=0)
