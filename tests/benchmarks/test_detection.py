"""Detection transfer on squares of two kinds: it learns, it resumes, it says what is wrong."""

import numpy as np
import pyarrow.compute as pc
import pytest
import torch

from sslbench.api import Subject, evaluations
from sslbench.benchmarks import detection
from sslbench.config import build, merge
from sslbench.data.images import HeldImages
from sslbench.data.readers.source import Boxes
from sslbench.data.spec import DatasetSpec, dataset_spec
from sslbench.errors import ConfigError, Diverged, Interrupted
from sslbench.nn.config import EncoderConfig
from sslbench.nn.encoder import Encoder

SIDE = 48
QUICK = {
    "short_sides": [SIDE],
    "long_side": SIDE,
    "steps": 90,
    "batch_size": 4,
    "lr": 0.05,
    "warmup_steps": 10,
    "schedule": "cosine",
    "clip": 5.0,
    "detector": {
        "fpn_width": 16,
        "head_width": 32,
        "anchor_scales": [4.0],
        "candidates": 30,
        "proposals": 30,
        "anchor_samples": 32,
        "region_samples": 16,
        "region_size": 3,
        "bin_samples": 1,
    },
}


class Squares:
    """Bright (class 0) and dark (class 1) squares on grey noise; every tenth image shows none."""

    spec = DatasetSpec(
        name="squares",
        task="detection",
        levels=({"name": "kind", "classes": 2},),
        splits={"train": 60, "test": 20},
        source="rendered",
    )

    def __init__(self):
        self.read = {}
        for seed, (split, count) in enumerate(self.spec.splits.items()):
            draw = np.random.default_rng(seed)
            pixels = draw.normal(128, 12, (count, 3, SIDE, SIDE))
            boxes = []
            for number, picture in enumerate(pixels):
                found, kinds = [], []
                for half in range(2 if number % 10 else 0):
                    side = int(draw.integers(12, 20))
                    left, top = (
                        draw.integers(0, SIDE - side),
                        draw.integers(0, 24 - side, endpoint=True),
                    )
                    top += 24 * half
                    kind = int(draw.integers(2))
                    picture[:, top : top + side, left : left + side] += 90 - 180 * kind
                    found.append((left, top, left + side, top + side))
                    kinds.append(kind)
                ignore = np.zeros(len(kinds), dtype=np.bool_)
                if number == 1:
                    ignore[0] = True
                boxes.append(
                    Boxes(
                        np.array(found, dtype=np.float32).reshape(-1, 4),
                        np.array(kinds, dtype=np.int64),
                        ignore,
                    )
                )
            images = HeldImages(torch.from_numpy(pixels.clip(0, 255).astype(np.uint8)))
            self.read[split] = images, tuple(boxes)

    def images(self, split):
        return self.read[split][0]

    def boxes(self, split):
        return self.read[split][1]


class Lent:
    """An evaluation context that keeps its checkpoint in memory and may be interrupted."""

    device = torch.device("cpu")

    def __init__(self, seed=0, state=None, stop_at=None):
        self.seed, self.state, self.stop_at = seed, state, stop_at
        self.checkpoint = self
        self.done = []

    def save(self, state):
        self.state = {
            "step": state["step"],
            "detector": {k: v.clone() for k, v in state["detector"].items()},
            "optimizer": {
                **state["optimizer"],
                "state": {
                    k: {n: t.clone() for n, t in v.items()}
                    for k, v in state["optimizer"]["state"].items()
                },
            },
        }

    def load(self):
        return self.state

    def progress(self, done, total):
        self.done.append((done, total))
        if done == self.stop_at:
            raise Interrupted("stopped")

    def log(self, name, value):
        assert np.isfinite(value)


@pytest.fixture(scope="module")
def squares():
    return Squares()


def small_encoder():
    torch.manual_seed(0)
    options = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}
    return Encoder(EncoderConfig(name="resnet18", options=options, stem="small", stem_stride=2))


def evaluation(**changes):
    cls = evaluations.get("detection")
    return cls(build(cls.Config, merge(QUICK, changes), "test"))


def measured(data, context=None, encoder=None, **changes):
    subject = Subject(encoder or small_encoder(), {})
    return evaluation(**changes).run(subject, data, context or Lent()).table


@pytest.fixture(scope="module")
def table(squares):
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


def test_boxes_come_back_in_pixels_of_the_stored_image(squares):
    larger = measured(squares, short_sides=[2 * SIDE], long_side=2 * SIDE, steps=2, warmup_steps=0)
    found = larger.filter(pc.equal(larger["kind"], "detection")).to_pandas()
    assert SIDE / 2 < found[["x1", "y1"]].to_numpy().max() <= SIDE


def test_a_resumed_run_equals_one_that_was_never_stopped(squares, monkeypatch):
    monkeypatch.setattr(detection, "SAVE_EVERY", 0.0)
    short = {"steps": 8, "warmup_steps": 2}
    whole = measured(squares, **short)
    stopped = Lent(stop_at=5)
    with pytest.raises(Interrupted):
        measured(squares, stopped, **short)
    resumed = Lent(state=stopped.state)
    torch.manual_seed(99)  # the global generator is elsewhere in a new process
    assert measured(squares, resumed, **short).equals(whole)
    assert [done for done, _ in resumed.done] == [5, 6, 7, 8]


def test_the_seed_decides_and_the_global_generator_is_left_alone(squares):
    short = {"steps": 2, "warmup_steps": 0}
    torch.manual_seed(5)
    wanted = torch.rand(1)
    encoder = small_encoder()
    torch.manual_seed(5)
    one = measured(squares, Lent(seed=1), encoder, **short)
    assert torch.equal(torch.rand(1), wanted)
    assert not one.equals(measured(squares, Lent(seed=2), **short))


def test_a_frozen_encoder_comes_back_unchanged(squares):
    encoder = small_encoder()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    frozen = {"detector": {"trainable": False, "norm": "frozen"}, "steps": 3, "warmup_steps": 0}
    measured(squares, encoder=encoder, **frozen)
    assert all(torch.equal(before[name], v) for name, v in encoder.state_dict().items())


def test_a_loss_that_is_not_finite_is_an_error_that_says_what_to_do(squares):
    with pytest.raises(Diverged, match="Lower lr"):
        measured(squares, lr=1e12, warmup_steps=0, clip=None)


def test_resamples_go_through_the_stored_matches(table):
    cls = evaluations.get("detection")
    items = len(table["item"].unique())
    scores = cls.resampler(table)(np.ones(items, dtype=np.int64))
    assert scores == cls.score(table)
    assert set(scores) == {metric.name for metric in cls.metrics}


def test_the_schedule_warms_up_and_falls():
    rates = [evaluation(steps=40, warmup_steps=4).config.rate(step) for step in range(40)]
    assert rates[:4] == pytest.approx([0.0125, 0.025, 0.0375, 0.05])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[-1] < 0.001
    steps = evaluation(steps=40, warmup_steps=4, schedule="step", milestones=[0.5, 0.75]).config
    assert [steps.rate(step) for step in (19, 20, 30)] == pytest.approx([0.05, 0.005, 0.0005])


def test_what_it_cannot_measure_is_said_while_planning(squares):
    one = evaluation()
    assert one.unsupported(small_encoder(), squares.spec) is None
    assert "boxes" in one.unsupported(small_encoder(), dataset_spec("objects"))
    coarse = evaluation(detector={"finest_stride": 8})
    assert "3 strides" in coarse.unsupported(small_encoder(), squares.spec)


def test_settings_that_do_not_fit_are_refused():
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
