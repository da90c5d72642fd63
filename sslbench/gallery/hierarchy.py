"""Nested clusterings of the training images out of a checkpoint, and a part that can be drawn.

Guo et al., "HCSC: Hierarchical Contrastive Selective Coding", arXiv:2202.00455, section 3.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sslbench.checkpoints import Checkpoints

LEVELS = 3  # the coarsest ones
BRANCHES = 3  # roots, and children of a node at most

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Node:
    """A prototype that is shown, and what is shown below it."""

    level: int  # 0 is the finest
    members: Integers  # positions of its training images
    children: tuple["Node", ...]
    branches: int  # children in all, shown or not

    @property
    def leaves(self) -> int:
        return sum(child.leaves for child in self.children) or 1

    def all(self) -> list["Node"]:
        """Itself and all below."""
        return [self, *(node for child in self.children for node in child.all())]


def nested_clusterings(checkpoints: Checkpoints) -> Integers | None:
    """levels x N, the cluster of each training image, finest first; None if none are nested.

    They are the buffers of ``sslbench.nn.Clusters``, whatever the method calls it. Raises
    StoreError if the checkpoints are damaged or of another run.
    """
    state = checkpoints.load(mmap=True)
    if state is None:
        return None
    for name, tensor in sorted(state["method"].items()):
        prefix = name.removesuffix("assignment")
        if prefix != name and f"{prefix}prototypes" in state["method"]:
            found: Integers = tensor.numpy()
            if is_nested(found):
                return found
    return None


def is_nested(assignment: Integers) -> bool:
    """Whether there are two levels at least, and a cluster's images share that of the next level.

    levels x N, finest first. Not before the first clustering, where all is one cluster.
    """
    if assignment.ndim != 2 or len(assignment) < 2 or not assignment.any():
        return False
    for below, above in pairwise(assignment):
        pairs = np.unique(np.stack([below, above]), axis=1)
        if len(np.unique(pairs[0])) != pairs.shape[1]:
            return False
    return True


def largest_trees(assignment: Integers) -> list[Node]:
    """The roots with most branches, then with most images; of their branches the largest."""
    top = len(assignment) - 1
    lowest = max(0, top - LEVELS + 1)
    images = np.bincount(assignment[top])
    pairs = np.unique(assignment[top - 1 : top + 1], axis=1)
    branches = np.bincount(pairs[1], minlength=len(images))
    roots = np.lexsort((-images, -branches))[:BRANCHES]
    return [_grown(assignment, top, int(root), lowest) for root in roots]


def _grown(assignment: Integers, level: int, cluster: int, lowest: int) -> Node:
    members = np.flatnonzero(assignment[level] == cluster).astype(np.int64)
    if level == lowest:
        return Node(level, members, (), 0)
    inside, counts = np.unique(assignment[level - 1][members], return_counts=True)
    largest = inside[np.argsort(-counts, kind="stable")][:BRANCHES]
    children = tuple(_grown(assignment, level - 1, int(one), lowest) for one in largest)
    return Node(level, members, children, len(inside))
