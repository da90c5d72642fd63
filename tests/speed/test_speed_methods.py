"""The case of all methods: every one is there, takes real steps, and is compared with the first."""

import torch

from sslbench.api import methods
from sslbench.data.images import HeldImages
from sslbench.registry import METHODS as KNOWN
from sslbench.speed.cases import Setup
from sslbench.speed.methods import METHODS, Methods, stepped
from sslbench.speed.rows import images_of
from sslbench.suite import DEFAULT_SUITE, load_suite

SMALL = (("batch_size", 16), ("steps", 2), ("epochs", 2))


def test_every_method_is_measured_and_the_suites_first_comes_first():
    labels = [row.label for row in METHODS.rows()]
    assert labels[0] == load_suite(DEFAULT_SUITE).methods[0]
    assert sorted(labels) == KNOWN.names()


def test_figures_and_ratios_are_positive_and_of_the_methods_asked_for():
    found = Methods(labels=("byol", "cpc"), changes=SMALL, steps=1, rounds=2).measure(Setup())
    assert list(found.figures) == ["simclr", "byol", "cpc"]
    assert list(found.ratios) == ["byol_in_steps_of_simclr", "cpc_in_steps_of_simclr"]
    for one in (*found.figures.values(), *found.ratios.values()):
        assert 0 < one.low <= one.median <= one.high
    assert "batch 16" in found.title


def test_a_call_is_one_step_of_the_trainers_and_changes_the_weights():
    (row,) = Methods(labels=("simclr",), changes=SMALL).rows()
    step = stepped(row, images_of(row))
    one, other = step(), step()
    assert {"loss", "gradient_norm", "weight_norm"} < set(one)
    assert one["weight_norm"] != other["weight_norm"]
    assert one["loss"] != other["loss"]  # of other images, too
    assert all(torch.isfinite(value) for value in (*one.values(), *other.values()))


def test_an_epoch_that_is_over_begins_again():
    (row,) = Methods(labels=("simclr",), changes=SMALL).rows()
    step = stepped(row, HeldImages(images_of(row).pixels[:32]))  # two batches of 16
    assert len([step() for _ in range(5)]) == 5


def test_what_a_method_does_at_the_start_of_an_epoch_is_done_before_and_not_timed():
    calls = []
    cls = methods.get("simclr")
    began = cls.on_epoch_start
    cls.on_epoch_start = lambda self, context: calls.append(context.epoch)
    try:
        (row,) = Methods(labels=("simclr",), changes=SMALL).rows()
        step = stepped(row, images_of(row))
        step()
    finally:
        cls.on_epoch_start = began
    assert calls == [1]  # the last of two epochs
