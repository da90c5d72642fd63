"""Canvases whose labels say which classes they show: the same pictures as those with boxes."""

import numpy as np
import pytest
import torch

from sslbench.data.datasets import open_dataset
from sslbench.data.spec import dataset_spec
from sslbench.errors import DataError


def test_labels_say_which_families_the_boxes_of_a_canvas_are_of() -> None:
    splits = {"splits": {"train": 24, "test": 12}}
    boxed = open_dataset(dataset_spec("canvases_tiny"), None)
    several = open_dataset(
        dataset_spec("canvas_classes_tiny", {"canvas_classes_tiny": splits}), None
    )
    for split, images in splits["splits"].items():
        shown = np.zeros((images, 12), dtype=np.int64)
        for row, boxes in zip(shown, boxed.boxes(split), strict=True):
            row[boxes.classes] = 1
        np.testing.assert_array_equal(several.labels(split), shown)
        assert torch.equal(several.images(split).pixels, boxed.images(split).pixels)
    assert several.class_names() == boxed.class_names()


def test_there_are_no_boxes_where_only_classes_are_asked_for() -> None:
    data = open_dataset(dataset_spec("canvas_classes_tiny"), None)
    with pytest.raises(DataError, match="no boxes: its task is multilabel"):
        data.boxes("train")


def test_every_class_is_shown_often_enough_for_sixteen_shots() -> None:
    data = open_dataset(dataset_spec("canvas_classes_tiny"), None)
    for split, least in (("train", 16), ("test", 3)):
        labels = data.labels(split)
        assert set(np.unique(labels)) == {0, 1}
        assert labels.sum(axis=0).min() >= least
        assert labels.mean(axis=0).max() < 0.5
    held_out = data.held_out(0)
    assert held_out.sum() == round(len(data.images("train")) / 10)
