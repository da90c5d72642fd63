"""Runs of the default suite to be timed: what is planned, its images, its whole training."""

import tempfile
from pathlib import Path

import torch

from sslbench.api import Method
from sslbench.config import Tree
from sslbench.data.datasets import open_dataset
from sslbench.data.images import HeldImages, held
from sslbench.nn.precision import has_bf16
from sslbench.plan import Environs, Planned, plan
from sslbench.suite import DEFAULT_SUITE, load_suite
from sslbench.train.build import build_method
from sslbench.train.clock import Clock
from sslbench.train.loop import pretrain

CPU = torch.device("cpu")


def planned(method: str, changes: Tree) -> Planned:
    """The method's run in the default suite, changed as ``--set`` would."""
    environs = Environs(bf16=has_bf16(CPU), count=lambda spec: 0)
    return plan(load_suite(DEFAULT_SUITE), [method], [0], changes, environs)[0]


def planned_on(
    suite: str, method: str, images: int, classes: int, image_size: int, changes: Tree
) -> Planned:
    """The method's run of a suite on so many images, of which nothing is there but the number.

    ``changes``: as ``--set`` would, of all but the data set.
    """
    made: Tree = {
        "levels": [{"name": "class", "classes": classes}],
        "splits": {"train": images, "test": images},
        "source": "rendered",
        "image_size": image_size,
    }
    loaded = load_suite(suite)
    loaded = loaded.model_copy(update={"datasets": {**loaded.datasets, "made": made}})
    pretrain: Tree = {"dataset": "made", **changes["pretrain"]}
    environs = Environs(bf16=has_bf16(CPU), count=lambda spec: images)
    return plan(loaded, [method], [0], {**changes, "pretrain": pretrain}, environs)[0]


def images_of(row: Planned) -> HeldImages:
    """The training images of a run, in memory."""
    return held(open_dataset(row.config.pretrain.dataset, None).images("train"))


def built(row: Planned) -> Method:
    """The method of a run, as its training begins."""
    return build_method(row.config, row.data, row.label)


def trained(row: Planned, images: HeldImages, clock: Clock | None = None) -> None:
    """The whole of ``pretrain``: health, log, checkpoints and export included."""
    method = built(row)
    with tempfile.TemporaryDirectory() as folder:
        pretrain(
            row.config, method, row.data, images, Path(folder), device=CPU, clock=clock or Clock()
        )
