"""The hierarchy of prototypes that a method found, with training images at every node.

As figure 1 of Guo et al., "HCSC: Hierarchical Contrastive Selective Coding", arXiv:2202.00455.
Which images a prototype has is the last clustering of the run. A prototype itself lies in the space
of the method's head and features do not, so the images shown are those whose features are nearest
to the mean feature of all that it has.
"""

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import normalize

from sslbench.data.draws import permutation
from sslbench.errors import StoreError
from sslbench.gallery.collection import SEED, Collection, Positions
from sslbench.gallery.exhibits import Exhibit
from sslbench.gallery.hierarchy import (
    BRANCHES,
    LEVELS,
    Integers,
    Node,
    largest_trees,
    nested_clusterings,
)
from sslbench.gallery.sheet import LINE, Sheet, pixels
from sslbench.report.picture import Picture
from sslbench.report.plots import short
from sslbench.train.outcome import CHECKPOINT, run_checkpoints

IMAGES = 3  # at a node
MEMBERS = 200  # of a node whose features are compared, drawn by seed if it has more
SIDE, GAP, BETWEEN = 0.42, 0.03, 0.5  # inches; BETWEEN: levels
NODE = IMAGES * (SIDE + GAP)  # inches of a node's images in a row
ROW = SIDE + 1.4 * LINE  # of a node with its words
LETTERS, AT_LEAF = 25, 36  # of its words; at a leaf there is room at the right
MARGIN = 0.9  # inches, of that room


def prototype_tree(collection: Collection) -> Picture | str:
    """Of the first row that has nested clusters, shown elsewhere or not; or why there is none."""
    why = ["no method of this suite keeps prototypes"]
    for one in collection.selection.everyone:
        if not (one.folder / "artifacts.safetensors").exists() or not _same_data(collection, one):
            continue
        if not (one.folder / CHECKPOINT).exists():
            why.append(f"the checkpoint of {one.title} is not here")
            continue
        try:
            found = nested_clusterings(run_checkpoints(one.folder, one.manifest.hash))
        except StoreError as error:
            why.append(str(error))
            continue
        if found is not None:
            return _picture(collection, one, found)
        why.append(f"the clusters of {one.title} are not nested")
    return f"No tree of prototypes: {'; '.join(why[1:] or why)}."


def _same_data(collection: Collection, exhibit: Exhibit) -> bool:
    """Whether a run learnt from the data set that is shown."""
    pretrain = exhibit.manifest.config.get("pretrain")
    if pretrain is None:
        return False
    spec = collection.known_spec.model_dump(mode="json")
    return bool(
        pretrain["dataset"] == spec and exhibit.manifest.data_digest == collection.data_digest
    )


def _picture(collection: Collection, exhibit: Exhibit, found: Integers) -> Picture:
    sizes = [len(np.unique(level)) for level in found[::-1]]
    levels = min(LEVELS, len(found))
    words = (
        ", and the class that most of these are of, which the method was not told"
        if collection.has_classes
        else ""
    )
    return Picture(
        name="prototype-tree",
        title=f"Prototypes of {exhibit.title} as a tree",
        caption=(
            f"From left to right the {levels} coarsest levels: the {BRANCHES} prototypes of the "
            f"coarsest level with most branches, and of each node its {BRANCHES} largest branches "
            f"at most. At a node: the {IMAGES} training images of {collection.known_spec.name} "
            "nearest to the mean feature of all images that the prototype has, how many these are"
            f"{words}."
        ),
        alternative=(
            f"{exhibit.title} ended with {_listed(sizes)} prototypes that have images, from the "
            "coarsest level to the finest; all images of a prototype share one prototype of the "
            "next coarser level."
        ),
        inputs=collection.inputs([exhibit], picture="prototype-tree", version=1),
        draw=lambda: _figure(collection, exhibit, largest_trees(found)),
    )


def _listed(sizes: list[int]) -> str:
    return f"{', '.join(map(str, sizes[:-1]))} and {sizes[-1]}"


def _figure(collection: Collection, exhibit: Exhibit, roots: list[Node]) -> Figure:
    nodes = [node for root in roots for node in root.all()]
    images = _examples(collection, exhibit, nodes)
    top = roots[0].level
    columns = 1 + top - min(node.level for node in nodes)
    rows = sum(root.leaves for root in roots)
    width = columns * NODE + (columns - 1) * BETWEEN + 2 * GAP + MARGIN
    sheet = Sheet(width, rows * ROW + (len(roots) - 1) * LINE + 2 * GAP)

    def placed(node: Node, start: float) -> float:
        """Draws a node and all below from ``start`` inches on; the middle of its images."""
        left = 2 * GAP + (top - node.level) * (NODE + BETWEEN)
        middles, below = [], start
        for child in node.children:
            middles.append(placed(child, below))
            below += child.leaves * ROW
        middle = (middles[0] + middles[-1]) / 2 if middles else start + SIDE / 2
        for number, image in enumerate(images[id(node)]):
            sheet.image(pixels(image), left + number * (SIDE + GAP), middle - SIDE / 2, SIDE)
        for line, words in enumerate(_words(collection, node)):
            sheet.text(words, left, middle + SIDE / 2 + (0.6 + line) * LINE)
        trunk = left + NODE + BETWEEN / 2
        for end in middles:
            sheet.line(
                [left + NODE, trunk, trunk, left + NODE + BETWEEN], [middle, middle, end, end]
            )
        return middle

    start = GAP
    for root in roots:
        placed(root, start)
        start += root.leaves * ROW + LINE
    return sheet.figure


def _words(collection: Collection, node: Node) -> list[str]:
    """How many images a prototype has, what most of them are, and what is not shown."""
    hidden = node.branches - len(node.children)
    more = [f"{len(node.children)} of {node.branches} branches"] if hidden else []
    words = f"{len(node.members):,} images"
    if not collection.has_classes:
        return [words, *more]
    level = min(node.level, len(collection.known_spec.levels) - 1)
    labels = collection.dataset.labels("train")[node.members, level]
    classes, counts = np.unique(labels, return_counts=True)
    name = collection.dataset.class_names(level)[classes[counts.argmax()]]
    share = f"{100 * counts.max() / len(labels):.0f} %"
    room = (LETTERS if node.children else AT_LEAF) - len(words) - len(share) - 3
    return [f"{words}, {share} {short(name, room)}", *more]


def _examples(collection: Collection, exhibit: Exhibit, nodes: list[Node]) -> dict[int, Tensor]:
    """By a node's ``id``: its images nearest to the mean of its features, N x 3 x S x S."""
    kept = [_at_most(node.members, MEMBERS) for node in nodes]
    positions: Positions = np.unique(np.concatenate(kept))
    features = normalize(collection.features(exhibit, "train", positions), dim=1)
    chosen: list[Positions] = []
    for members in kept:
        rows = features[torch.from_numpy(np.searchsorted(positions, members))]
        nearness = rows @ rows.mean(0)
        order = nearness.argsort(descending=True, stable=True)[:IMAGES]
        chosen.append(members[order.numpy()])
    shown = collection.seen(exhibit, "train", np.concatenate(chosen)).cpu()
    parts = torch.split(shown, [len(members) for members in chosen])
    return {id(node): part for node, part in zip(nodes, parts, strict=True)}


def _at_most(members: Positions, count: int) -> Positions:
    """Some of the positions by seed, in their order."""
    if len(members) <= count:
        return members
    return np.sort(members[permutation(SEED, "gallery/members", len(members))[:count]])
