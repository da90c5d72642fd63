"""Fine-tuning on all labels: it learns, it resumes, it says what is wrong."""

import numpy as np
import pytest

from sslbench.benchmarks.fine_tune import FineTune, FineTuneConfig
from sslbench.config import build
from sslbench.conformance.patches import patches
from sslbench.data.datasets import open_dataset
from sslbench.data.spec import dataset_spec
from sslbench.errors import DataError, Interrupted
from sslbench.registry import EVALUATIONS

QUICK = {"epochs": 2, "batch_size": 128, "lr": 0.05, "head_lr": 0.2}


@pytest.fixture(scope="module")
def objects():
    return open_dataset(dataset_spec("objects_tiny"), None)


@pytest.fixture
def run(engine):
    def measured(dataset, checkpoint=None, stop=None, **settings):
        plugin = FineTune(FineTuneConfig(**{**QUICK, **settings}))
        return engine(plugin, dataset, checkpoint, stop)

    return measured


@pytest.mark.parametrize(("shuffled", "low", "high"), [(False, 95, 100), (True, 10, 40)])
def test_colours_are_learnt_and_shuffled_labels_are_not(run, shuffled, low, high):
    outcome, *_ = run(patches(shuffled), epochs=3, batch_size=32)
    assert low < FineTune.score(outcome.table)["top1"] <= high


def test_rows_are_the_test_images_and_the_last_epoch_is_measured(run, objects):
    outcome, seen, log = run(objects)
    table = outcome.table
    assert table["label"].to_pylist() == objects.labels("test")[:, 0].tolist()
    assert table["item"].to_pylist() == list(range(192))
    assert outcome.chosen == {"epoch": 2, "chosen_on": "nothing"}
    # Three full batches of 128 an epoch, then one of test images.
    assert seen == [(done, 6) for done in range(1, 7)] + [(6, 6)]
    assert np.isfinite(log["loss"])
    assert FineTune(FineTuneConfig()).selection == "none"


@pytest.mark.parametrize("stop", [1, 4, 7])
def test_stopped_and_resumed_equals_never_stopped(run, kept, objects, stop):
    whole, *_ = run(objects)
    checkpoint = kept()
    with pytest.raises(Interrupted):
        run(objects, checkpoint=checkpoint, stop=stop)
    resumed, seen, _ = run(objects, checkpoint=checkpoint)
    assert resumed.table.equals(whole.table)
    assert seen[0][0] == min(stop + 1, 6)


def test_the_encoder_is_trained_and_not_the_layer_alone(run, objects):
    both, *_ = run(objects)
    frozen, *_ = run(objects, lr=1e-12)
    assert not both.table.equals(frozen.table)


def test_a_coarser_level_has_its_own_classes(run, objects):
    outcome, *_ = run(objects, level=1)
    assert outcome.table["label"].to_pylist() == objects.labels("test")[:, 1].tolist()
    assert max(max(row) for row in outcome.table["ranked"].to_pylist()) < 12


def test_a_batch_of_more_images_than_there_are_is_refused(run, objects):
    with pytest.raises(DataError, match="batch_size 4096 does not go with 384 training images"):
        run(objects, batch_size=4096)


@pytest.mark.parametrize(
    ("settings", "name", "message"),
    [
        ({}, "canvases_tiny", "it needs one class per image"),
        ({"level": 3}, "objects_tiny", "level 3: objects_tiny has 3 label levels"),
    ],
)
def test_what_has_no_classes_is_unsupported(settings, name, message):
    plugin = FineTune(FineTuneConfig(**settings))
    assert message in plugin.unsupported(None, dataset_spec(name))


def test_the_papers_settings_are_theirs():
    known = EVALUATIONS.defaults("fine_tune")["variants"]
    simclr = build(FineTuneConfig, known["simclr"]["settings"], "simclr")
    assert simclr.lr == simclr.head_lr == 0.05 * 4096 / 256
    # Scaled to the batch, they are the defaults.
    assert simclr.model_copy(update={"lr": 0.05, "head_lr": 0.05, "batch_size": 256}) == (
        FineTuneConfig()
    )
