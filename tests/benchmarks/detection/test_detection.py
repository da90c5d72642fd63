"""Detection transfer on squares of two kinds: it learns, and it says what is wrong."""

import numpy as np
import pyarrow.compute as pc
import pytest
import torch

from sslbench.api import Subject, evaluations
from sslbench.config import build
from sslbench.data.readers.source import Boxes
from sslbench.data.spec import dataset_spec
from sslbench.errors import ConfigError, DataError, Diverged

SIDE = 48


@pytest.fixture(scope="module")
def table(squares, measured):
    return measured(squares)


def test_it_learns_to_find_and_to_name_squares(table):
    scores = evaluations.get("detection").score(table)
    assert scores["ap50"] > 50
    assert scores["ap50"] >= scores["ap"] > 10
    # The same boxes under the other name are worth little.
    column = table.column_names.index("class_id")
    swapped = pc.if_else(
        pc.equal(table["kind"], "detection"), pc.subtract(1, table["class_id"]), table["class_id"]
    )
    swapped = table.set_column(column, table.schema.field(column), swapped)
    assert evaluations.get("detection").score(swapped)["ap50"] < scores["ap50"] / 2


def test_the_table_holds_all_that_a_score_needs(squares, table):
    truth = table.filter(pc.equal(table["kind"], "truth")).to_pandas()
    found = table.filter(pc.equal(table["kind"], "detection")).to_pandas()
    boxes = squares.boxes("test")
    assert truth["item"].tolist() == [n for n, b in enumerate(boxes) for _ in b.classes]
    corners = truth[["x0", "y0", "x1", "y1"]].to_numpy()
    assert np.array_equal(corners, np.concatenate([b.xyxy for b in boxes]))
    assert truth["ignore"].tolist() == np.concatenate([b.ignore for b in boxes]).tolist()
    assert truth["score"].isna().all()
    assert found["score"].between(0, 1).all()
    assert found.groupby("item").size().max() <= 100
    assert set(found["class_id"]) <= {0, 1}


def test_boxes_come_back_in_pixels_of_the_stored_image(squares, measured):
    larger = measured(squares, short_sides=[2 * SIDE], long_side=2 * SIDE, steps=2, warmup_steps=0)
    found = larger.filter(pc.equal(larger["kind"], "detection")).to_pandas()
    assert SIDE / 2 < found[["x1", "y1"]].to_numpy().max() <= SIDE


def test_the_seed_decides_and_the_global_generator_is_left_alone(
    squares, measured, small_encoder, lent
):
    short = {"steps": 2, "warmup_steps": 0}
    torch.manual_seed(5)
    wanted = torch.rand(1)
    encoder = small_encoder()
    torch.manual_seed(5)
    one = measured(squares, lent(seed=1), encoder, **short)
    assert torch.equal(torch.rand(1), wanted)
    assert not one.equals(measured(squares, lent(seed=2), **short))


def test_a_frozen_encoder_comes_back_unchanged(squares, measured, small_encoder):
    encoder = small_encoder()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    frozen = {"detector": {"trainable": False, "norm": "frozen"}, "steps": 3, "warmup_steps": 0}
    measured(squares, encoder=encoder, **frozen)
    assert all(torch.equal(before[name], v) for name, v in encoder.state_dict().items())


def test_a_loss_that_is_not_finite_is_an_error_that_says_what_to_do(squares, measured):
    with pytest.raises(Diverged, match="Lower lr"):
        measured(squares, lr=1e12, warmup_steps=0, clip=None)


def test_resamples_go_through_the_stored_matches(table):
    cls = evaluations.get("detection")
    items = len(table["item"].unique())
    scores = cls.resampler(table)(np.ones(items, dtype=np.int64))
    assert scores == cls.score(table)
    assert set(scores) == {metric.name for metric in cls.metrics}


def test_the_schedule_warms_up_and_falls(evaluation):
    rates = [evaluation(steps=40, warmup_steps=4).config.rate(step) for step in range(40)]
    assert rates[:4] == pytest.approx([0.0125, 0.025, 0.0375, 0.05])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[-1] < 0.001
    steps = evaluation(steps=40, warmup_steps=4, schedule="step", milestones=[0.5, 0.75]).config
    assert [steps.rate(step) for step in (19, 20, 30)] == pytest.approx([0.05, 0.005, 0.0005])


def test_what_it_cannot_measure_is_said_while_planning(squares, evaluation, small_encoder):
    one = evaluation()
    assert one.unsupported(small_encoder(), squares.spec) is None
    assert "boxes" in one.unsupported(small_encoder(), dataset_spec("objects"))
    coarse = evaluation(detector={"finest_stride": 8})
    reason = coarse.unsupported(small_encoder(), squares.spec)
    assert "maps of stride [2, 4, 8, 16] (its small stem has stride 2)" in reason


def test_settings_that_do_not_fit_are_refused(evaluation):
    with pytest.raises(ConfigError, match="warm-up"):
        evaluation(steps=5, warmup_steps=5)
    with pytest.raises(ConfigError, match="long_side"):
        evaluation(short_sides=[64])


def test_every_named_setting_is_valid():
    cls = evaluations.get("detection")
    variants = evaluations.catalogue.defaults("detection")["variants"]
    assert {"small", "bccd", "voc-c4", "voc-fpn", "coco-c4-2x", "coco-fpn"} == set(variants)
    for name, variant in variants.items():
        build(cls.Config, variant["settings"], name)


# ---- what is said and refused -----------------------------------------------------------------


def test_the_record_says_what_the_detector_was_made_of(squares, evaluation, small_encoder, lent):
    context = lent()
    one = evaluation(steps=1, warmup_steps=0)
    assert one.run(Subject(small_encoder(), {}), squares, context).chosen == {
        "encoder_strides": [2, 4, 8, 16],
        "map_strides": [4, 8, 16, 32],
        "anchor_sides": [[16.0], [32.0], [64.0], [128.0]],
        "batch_norms": 13,
        "batch_norms_live": 13,
        "encoder_tensors_loaded": 1.0,
    }
    assert context.logged["boxes_left_out"] == 0


def test_the_whole_summary_of_coco_needs_objects_of_every_size(
    squares, evaluation, measured, lent, squares_class
):
    class Larger(squares_class):
        def boxes(self, split):
            found = super().boxes(split)
            if split == "train":
                return found
            sides = np.array([[[0, 0, 40, 40]], [[0, 0, 100, 100]]], dtype=np.float32)
            added = [Boxes(of, np.zeros(1, int), np.zeros(1, bool)) for of in sides]
            return (*added, *found[2:])

    whole = {"full_summary": True, "steps": 2, "warmup_steps": 0}
    table = measured(Larger(), **whole)
    scores = evaluations.get("detection").score(table)
    assert set(scores) == {metric.name for metric in evaluation(**whole).metrics}
    assert {"ap_small", "ar_large", "ar100"} < set(scores)
    context = lent()
    with pytest.raises(DataError, match=r"ap_medium, ap_large.*no truth box"):
        measured(squares, context, **whole)
    assert not context.done  # said before the training


def test_nothing_to_learn_from_is_said_before_training(squares, measured, lent, squares_class):
    class Bare(squares_class):
        def boxes(self, split):
            bare = Boxes(np.zeros((0, 4), np.float32), np.zeros(0, int), np.zeros(0, bool), None, 1)
            found = super().boxes(split)
            return (bare,) * len(found) if split in self.bare else found

    data, context = Bare(), lent()
    data.bare = {"train"}
    with pytest.raises(DataError, match="squares, train: not one box"):
        measured(data, context)
    assert context.logged["boxes_left_out"] == 60
    data.bare = {"test"}
    with pytest.raises(DataError, match="no truth box"):
        measured(data)
