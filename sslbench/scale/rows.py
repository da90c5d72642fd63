"""Runs of ``survey`` on training sets of any size, of which nothing is there but the number."""

import torch

from sslbench.api import Method
from sslbench.config import Tree
from sslbench.plan import Planned
from sslbench.speed.rows import planned_on
from sslbench.train.build import build_method

SUITE = "survey"
CLASSES = 1000


def planned(label: str, images: int, changes: Tree | None = None) -> Planned:
    """A method's run on so many images, its sizes settled by the rules for that number.

    ``changes``: of ``pretrain``. In fp32, whatever the machine, so that counts are the same.
    """
    pretrain: Tree = {"precision": "fp32", **(changes or {})}
    return planned_on(SUITE, label, images, CLASSES, 224, {"pretrain": pretrain})


def without_memory(row: Planned) -> Method:
    """Its method, whose tensors have shapes and types alone (torch's "meta" device)."""
    with torch.device("meta"):
        return build_method(row.config, row.data, row.label)
