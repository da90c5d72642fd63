"""Top-K retrieval: query images and the images whose features are nearest to theirs.

Where the suite measured retrieval, the neighbours are those that its scores are made of; else they
are found here, among a part of the test images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from torch import Tensor

from sslbench.api import Split
from sslbench.gallery.collection import POOL_CLASSES, POOL_IMAGES, Collection, Positions
from sslbench.gallery.exhibits import Exhibit
from sslbench.gallery.kept_neighbours import Kept, kept_by_all
from sslbench.gallery.sheet import LINE, Sheet, pixels
from sslbench.report.picture import Picture
from sslbench.report.plots import BLUE, INK, ORANGE, short

QUERIES, NEAREST = 4, 5
FEWER = 3  # queries where there are many encoders
MANY = 5
ACROSS = 2  # encoders side by side
SIDE, GAP = 0.5, 0.07  # inches
RIGHT = {"edgecolor": BLUE, "linewidth": 2.0, "linestyle": "-"}
WRONG = {"edgecolor": ORANGE, "linewidth": 1.5, "linestyle": (0, (2.5, 1.2))}  # told apart in grey


@dataclass(frozen=True)
class Shown:
    """An encoder's panel."""

    share: float  # of right ones among the nearest of all queries, shown or not
    queries: Positions  # Q test images
    split: Split  # that neighbours are of
    neighbours: Positions  # Q x K
    right: NDArray[np.bool_]  # Q x K


def retrieval(collection: Collection) -> Picture | str:
    """A panel per encoder, all with the same queries; or why there is none."""
    if not collection.has_classes:
        return (
            f"No retrieval grid: images of {collection.known_spec.name} have not one class each, "
            "so nothing found could be right or wrong."
        )
    kept = kept_by_all(collection)
    return _of_records(collection, kept) if kept else _of_features(collection)


def _of_records(collection: Collection, kept: Sequence[Kept]) -> Picture:
    spec = collection.known_spec
    level, split = spec.levels[kept[0].level].name, kept[0].split
    among = "all other test images" if split == "test" else "all training images"
    said = []
    for one, outcomes in zip(collection.exhibits, kept, strict=True):
        scores = outcomes.record.scores.items()
        numbers = ", ".join(f"{name} {score.value:.1f} {score.unit}" for name, score in scores)
        said.append(f"{one.title}: {numbers}")
    return Picture(
        name="retrieval",
        title=f"Nearest neighbours: top-{NEAREST} retrieval",
        caption=(
            "The first image of a row is the query, a test image; the others are the nearest among "
            f"{among} of {spec.name}, as the evaluation of retrieval found and counted them. "
            f"{_frames(level)} Queries are drawn by seed. The share above each panel is over all "
            "queries that were measured."
        ),
        alternative=f"Retrieval on {spec.name}: {'; '.join(said)}.",
        inputs=collection.inputs(
            collection.exhibits,
            picture="retrieval",
            version=1,
            outcomes=[one.record.outcomes_sha256 for one in kept],
        ),
        draw=lambda: _figure(collection, [_kept(collection, one) for one in kept]),
    )


def _of_features(collection: Collection) -> Picture:
    exhibits, finest = collection.exhibits, collection.known_spec.levels[0].name
    name = collection.known_spec.name
    found = "; ".join(said for one in exhibits if (said := one.finding(name)))
    return Picture(
        name="retrieval",
        title=f"Nearest neighbours: top-{NEAREST} retrieval",
        caption=(
            f"The first image of a row is the query, the others are its {NEAREST} nearest by the "
            f"cosine of features. {_frames(finest)} All are test images of {name}, up to "
            f"{POOL_IMAGES:,} of up to {POOL_CLASSES} classes, and queries are drawn by seed. The "
            "share above each panel is over all of these images as queries."
        ),
        alternative=f"Scores on all test images of {name}: {found or 'not measured'}.",
        inputs=collection.inputs(exhibits, picture="retrieval", version=1),
        draw=lambda: _figure(collection, [_found(collection, one) for one in exhibits]),
    )


def _frames(level: str) -> str:
    return (
        f"Right, with a solid frame: of the query's {level}; wrong, with a dotted one: of another."
    )


def neighbours(rows: Tensor, nearest: int) -> Tensor:
    """N x ``nearest``: which of the other rows (N x D, unit) are nearest to each, nearest first."""
    found = []
    for block in torch.split(torch.arange(len(rows)), 512):
        likeness = rows[block] @ rows.T
        likeness[torch.arange(len(block)), block] = -torch.inf
        found.append(likeness.topk(nearest, dim=1).indices)
    return torch.cat(found)


def _found(collection: Collection, exhibit: Exhibit) -> Shown:
    """Among the pool."""
    labels: NDArray[np.int64] = collection.dataset.labels("test")[collection.pool, 0]
    nearest = min(NEAREST, len(labels) - 1)
    found = neighbours(collection.pool_features(exhibit), nearest).numpy()
    right = labels[found] == labels[:, None]
    rows = _queries(collection, collection.pool)
    pool = collection.pool
    return Shown(float(right.mean()), pool[rows], "test", pool[found[rows]], right[rows])


def _kept(collection: Collection, kept: Kept) -> Shown:
    """As a record has them."""
    table = kept.read()
    near, right = table.neighbours[:, :NEAREST], table.right[:, :NEAREST]
    rows = _queries(collection, table.queries)
    return Shown(float(right.mean()), table.queries[rows], kept.split, near[rows], right[rows])


def _queries(collection: Collection, among: Positions) -> list[int]:
    """Places in ``among`` of images of different classes, in the order of the seeded draw."""
    shown = collection.drawn("test", len(collection.dataset.images("test")))
    places = {position: row for row, position in enumerate(among.tolist())}
    rows = [places[position] for position in shown.tolist() if position in places]
    return rows[: FEWER if len(collection.exhibits) >= MANY else QUERIES]


def _figure(collection: Collection, panels: Sequence[Shown]) -> Figure:
    exhibits = collection.exhibits
    queries, nearest = panels[0].neighbours.shape
    across = min(ACROSS, len(exhibits))
    down = -(-len(exhibits) // across)
    panel_width = (1 + nearest) * (SIDE + GAP) + 6 * GAP
    panel_height = 2 * LINE + queries * (SIDE + GAP) + GAP
    sheet = Sheet(across * panel_width, down * panel_height + 2 * LINE)
    for number, (one, shown) in enumerate(zip(exhibits, panels, strict=True)):
        left = 2 * GAP + (number % across) * panel_width
        top = (number // across) * panel_height
        sheet.text(
            f"{short(one.title, 28)}: {100 * shown.share:.0f} % right",
            left,
            top + LINE,
            weight="bold",
        )
        for row in range(queries):
            y = top + 1.7 * LINE + row * (SIDE + GAP)
            _row(sheet, collection, one, shown, row, left, y)
    handles = [
        Line2D([], [], color=INK, linewidth=0.8, label="query"),
        _key(RIGHT, "right"),
        _key(WRONG, "wrong"),
    ]
    sheet.figure.legend(handles=handles, loc="lower center", ncols=3, frameon=False)
    return sheet.figure


def _row(
    sheet: Sheet,
    collection: Collection,
    exhibit: Exhibit,
    shown: Shown,
    row: int,
    left: float,
    top: float,
) -> None:
    (query,) = collection.seen(exhibit, "test", shown.queries[row : row + 1])
    sheet.image(pixels(query), left, top, SIDE)
    sheet.frame(left, top, SIDE, edgecolor=INK, linewidth=0.8)
    found = collection.seen(exhibit, shown.split, shown.neighbours[row])
    for column, (image, right) in enumerate(zip(found, shown.right[row], strict=True), 1):
        x = left + column * (SIDE + GAP) + 2 * GAP
        sheet.image(pixels(image), x, top, SIDE)
        sheet.frame(x, top, SIDE, **(RIGHT if right else WRONG))


def _key(how: dict[str, object], words: str) -> Line2D:
    line = Line2D([], [], color=how["edgecolor"], label=words)  # type: ignore[arg-type]
    line.set_linestyle(how["linestyle"])  # type: ignore[arg-type]
    line.set_linewidth(how["linewidth"])  # type: ignore[arg-type]
    return line
