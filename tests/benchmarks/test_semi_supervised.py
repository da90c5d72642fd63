"""Few labels: which are known, that no other is read, and that it learns from them."""

import numpy as np
import pytest
import torch

from sslbench.benchmarks.semi_supervised import SemiSupervised, SemiSupervisedConfig, labelled
from sslbench.config import build
from sslbench.conformance.patches import patches
from sslbench.data.datasets import LabelledDataset, open_dataset
from sslbench.data.readers.source import SplitData
from sslbench.data.spec import dataset_spec
from sslbench.errors import DataError, Interrupted
from sslbench.registry import EVALUATIONS

QUICK = {"epochs": 2, "batch_size": 16, "fraction": 0.1, "head_lr": 0.2}


@pytest.fixture(scope="module")
def objects():
    return open_dataset(dataset_spec("objects_tiny"), None)


@pytest.fixture
def run(engine):
    def measured(dataset, checkpoint=None, stop=None, seed=0, **settings):
        plugin = SemiSupervised(SemiSupervisedConfig(**{**QUICK, **settings}))
        return engine(plugin, dataset, checkpoint, stop, seed)

    return measured


class Only:
    """A source with some of a data set's training images, and no other label."""

    def __init__(self, whole, positions):
        images = whole.images("train").at(torch.from_numpy(positions))
        self.splits = {
            "train": SplitData(images, whole.labels("train")[positions]),
            "test": SplitData(whole.images("test"), whole.labels("test")),
        }

    def read(self, split):
        return self.splits[split]


# ---- which labels are known ---------------------------------------------------------------------


def test_each_class_gives_its_share_and_one_image_at_least():
    labels = np.repeat([0, 1, 2, 3], [100, 40, 4, 1])[np.random.default_rng(0).permutation(145)]
    for fraction, counts in ((0.1, [10, 4, 1, 1]), (0.01, [1, 1, 1, 1]), (0.5, [50, 20, 2, 1])):
        chosen = labelled(labels, fraction, 0)
        assert np.bincount(labels[chosen]).tolist() == counts
        assert (np.diff(chosen) > 0).all()
    assert labelled(labels, 1.0, 0).tolist() == list(range(145))


def test_the_seed_draws_and_a_smaller_share_lies_in_a_larger():
    labels = np.arange(1000) % 5
    small, large = (labelled(labels, fraction, 0) for fraction in (0.05, 0.1))
    assert set(small) < set(large)
    other = labelled(labels, 0.1, 1)
    assert len(set(large) & set(other)) < 30  # ten are expected by chance
    assert np.array_equal(large, labelled(labels, 0.1, 0))


def test_a_class_that_grows_changes_no_other_class():
    labels = np.arange(60) % 3
    more = np.concatenate([labels, np.zeros(60, dtype=np.int64)])
    before, after = labelled(labels, 0.2, 0), labelled(more, 0.2, 0)
    assert set(before[labels[before] > 0]) == set(after[more[after] > 0])


# ---- what is learnt from them -------------------------------------------------------------------


def test_no_image_and_no_label_beyond_the_share_is_used(run, objects):
    positions = labelled(objects.labels("train")[:, 0], 0.1, 0)
    alone = LabelledDataset(objects.spec, None, Only(objects, positions))
    share, _, log = run(objects)
    everything, *_ = run(alone, fraction=1.0)
    assert share.table.equals(everything.table)
    assert log["labelled_images"] == len(positions) < 45


@pytest.mark.parametrize(("shuffled", "low", "high"), [(False, 90, 100), (True, 10, 45)])
def test_colours_are_learnt_from_a_few_images_of_each(run, shuffled, low, high):
    outcome, *_ = run(patches(shuffled), epochs=8, fraction=0.2)
    assert low < SemiSupervised.score(outcome.table)["top1"] <= high


def test_other_draws_are_other_seeds(run, objects):
    one, *_ = run(objects)
    again, *_ = run(objects)
    other, *_ = run(objects, seed=1)
    assert one.table.equals(again.table)
    assert not one.table.equals(other.table)


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_stopped_and_resumed_equals_never_stopped(run, kept, objects, stop):
    whole, told, _ = run(objects)
    checkpoint = kept()
    with pytest.raises(Interrupted):
        run(objects, checkpoint=checkpoint, stop=stop)
    resumed, seen, _ = run(objects, checkpoint=checkpoint)
    assert resumed.table.equals(whole.table)
    assert seen == (told[stop:] or told[-1:])  # test images are read anew


def test_fewer_labels_than_a_batch_are_said(run, objects):
    with pytest.raises(DataError, match="batch_size 256 does not go with 36 training images"):
        run(objects, fraction=0.01, batch_size=256)


def test_shares_of_a_coarser_level_are_of_its_classes(run, objects):
    outcome, _, log = run(objects, fraction=0.05, level=2)
    assert log["labelled_images"] == pytest.approx(0.05 * 384, abs=2)
    assert outcome.table["label"].to_pylist() == objects.labels("test")[:, 2].tolist()


def test_the_papers_settings_are_theirs():
    known = EVALUATIONS.defaults("semi_supervised")["variants"]
    config = {k: build(SemiSupervisedConfig, known[k]["settings"], k) for k in known}
    papers = {name: c for name, c in config.items() if not name.startswith("small")}
    assert all(c.fraction == 1.0 and c.weight_decay == 0.0 for c in papers.values())
    assert all(c.augment.crop == (0.08, 1.0) and c.augment.flip == 0.5 for c in papers.values())
    hcsc, one, ten = (config[name] for name in ("hcsc", "swav-1pct", "swav-10pct"))
    assert (hcsc.lr, hcsc.head_lr, hcsc.epochs, hcsc.factor) == (0.005, 0.02, 70, 0.1)
    assert [round(70 * milestone) for milestone in hcsc.milestones] == [30, 60]
    assert [round(20 * milestone) for milestone in one.milestones] == [12, 16]
    assert (one.lr, one.head_lr, one.factor) == (0.02, 5.0, 0.2)
    assert ten == one.model_copy(update={"lr": 0.01, "head_lr": 0.2})
    assert {c.batch_size for c in (hcsc, one, ten)} == {8 * 32}
