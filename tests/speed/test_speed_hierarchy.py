"""The case of clustered epochs: same images and settings, clusters from the first epoch on."""

import pytest
import torch

from sslbench.speed.cases import Setup, case
from sslbench.speed.hierarchy import CLUSTERED, Clustered, synthetic

SMALL = Clustered(images=400, batch_size=64, rounds=1)


def test_the_one_epoch_begins_with_clusters_and_settings_are_shared():
    moco, hcsc, pcl = (SMALL.row(label) for label in ("moco", "hcsc", "pcl"))
    assert moco.config.pretrain == hcsc.config.pretrain == pcl.config.pretrain
    assert hcsc.config.params["warmup_epochs"] == pcl.config.params["warmup_epochs"] == 0
    assert {row.data.steps for row in (moco, hcsc, pcl)} == {400 // 64}


def test_epochs_are_measured_in_those_of_moco():
    found = SMALL.measure(Setup())
    assert list(found.figures) == ["moco", "hcsc", "pcl"]
    moco, hcsc, _ = (one.median for one in found.figures.values())
    assert found.ratios["hcsc_in_epochs_of_moco"].median == pytest.approx(hcsc / moco)
    assert all(one.low > 0 for one in found.figures.values())


def test_made_images_use_the_range_and_are_the_same_each_time():
    one, other = synthetic(5, 32).pixels, synthetic(5, 32).pixels
    assert one.dtype == torch.uint8
    assert torch.equal(one, other)
    assert one.float().std() > 30


def test_by_name_it_is_of_ten_thousand_images():
    assert case("clustered_epoch") is CLUSTERED
    assert CLUSTERED.images == 10_000
