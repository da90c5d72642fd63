"""Runs of ``survey`` on training sets of any size, of which nothing is there but the number."""

from sslbench.config import Tree
from sslbench.plan import Environs, Planned, plan
from sslbench.suite import load_suite

SUITE = "survey"
CLASSES = 1000


def planned(label: str, images: int, changes: Tree | None = None) -> Planned:
    """A method's run on so many images, its sizes settled by the rules for that number.

    ``changes``: of ``pretrain``. In fp32, whatever the machine, so that counts are the same.
    """
    made: Tree = {
        "levels": [{"name": "class", "classes": CLASSES}],
        "splits": {"train": images, "test": CLASSES},
        "source": "rendered",
        "image_size": 224,
    }
    suite = load_suite(SUITE)
    suite = suite.model_copy(update={"datasets": {**suite.datasets, "made": made}})
    pretrain: Tree = {"dataset": "made", "precision": "fp32", **(changes or {})}
    environs = Environs(bf16=False, count=lambda spec: images)
    return plan(suite, [label], [0], {"pretrain": pretrain}, environs)[0]
