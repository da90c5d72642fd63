"""Top-K retrieval: query images and the images whose features are nearest to theirs."""

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from torch import Tensor

from sslbench.gallery.collection import POOL_CLASSES, POOL_IMAGES, Collection, Positions
from sslbench.gallery.exhibits import Exhibit
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


def retrieval(collection: Collection) -> Picture | str:
    """A panel per encoder, all with the same queries; or why there is none."""
    if not collection.has_classes:
        return (
            f"No retrieval grid: images of {collection.known_spec.name} have not one class each, "
            "so nothing found could be right or wrong."
        )
    exhibits, finest = collection.exhibits, collection.known_spec.levels[0].name
    name = collection.known_spec.name
    found = "; ".join(said for one in exhibits if (said := one.finding(name)))
    return Picture(
        name="retrieval",
        title=f"Nearest neighbours: top-{NEAREST} retrieval",
        caption=(
            f"The first image of a row is the query, the others are its {NEAREST} nearest by the "
            f"cosine of features. Right, with a solid frame: of the query's {finest}; wrong, with "
            f"a dotted one: of another. All are test images of {name}, up to {POOL_IMAGES:,} of up "
            f"to {POOL_CLASSES} classes, and queries are drawn by seed. The share above each panel "
            "is over all of these images as queries."
        ),
        alternative=f"Scores on all test images of {name}: {found or 'not measured'}.",
        inputs=collection.inputs(exhibits, picture="retrieval", version=1),
        draw=lambda: _figure(collection),
    )


def neighbours(rows: Tensor, nearest: int) -> Tensor:
    """N x ``nearest``: which of the other rows (N x D, unit) are nearest to each, nearest first."""
    found = []
    for block in torch.split(torch.arange(len(rows)), 512):
        likeness = rows[block] @ rows.T
        likeness[torch.arange(len(block)), block] = -torch.inf
        found.append(likeness.topk(nearest, dim=1).indices)
    return torch.cat(found)


def _figure(collection: Collection) -> Figure:
    exhibits = collection.exhibits
    labels: NDArray[np.int64] = collection.dataset.labels("test")[collection.pool, 0]
    queries = _queries(collection, labels)
    nearest = min(NEAREST, len(labels) - 1)
    across = min(ACROSS, len(exhibits))
    down = -(-len(exhibits) // across)
    panel_width = (1 + nearest) * (SIDE + GAP) + 6 * GAP
    panel_height = 2 * LINE + len(queries) * (SIDE + GAP) + GAP
    sheet = Sheet(across * panel_width, down * panel_height + 2 * LINE)
    for number, one in enumerate(exhibits):
        found = neighbours(collection.pool_features(one), nearest).numpy()
        share = float((labels[found] == labels[:, None]).mean())
        left = 2 * GAP + (number % across) * panel_width
        top = (number // across) * panel_height
        sheet.text(
            f"{short(one.title, 28)}: {100 * share:.0f} % right",
            left,
            top + LINE,
            weight="bold",
        )
        for row, query in enumerate(queries):
            y = top + 1.7 * LINE + row * (SIDE + GAP)
            _row(sheet, collection, one, labels, query, found[query], left, y)
    handles = [
        Line2D([], [], color=INK, linewidth=0.8, label="query"),
        _key(RIGHT, "right"),
        _key(WRONG, "wrong"),
    ]
    sheet.figure.legend(handles=handles, loc="lower center", ncols=3, frameon=False)
    return sheet.figure


def _queries(collection: Collection, labels: NDArray[np.int64]) -> list[int]:
    """Rows of the pool, of different classes, in the order of the seeded draw."""
    shown = collection.drawn("test", len(collection.dataset.images("test")))
    places = {position: row for row, position in enumerate(collection.pool.tolist())}
    rows = [places[position] for position in shown.tolist() if position in places]
    return rows[: FEWER if len(collection.exhibits) >= MANY else QUERIES]


def _row(
    sheet: Sheet,
    collection: Collection,
    exhibit: Exhibit,
    labels: NDArray[np.int64],
    query: int,
    found: NDArray[np.int64],
    left: float,
    top: float,
) -> None:
    rows: Positions = np.concatenate([[query], found])
    images = collection.seen(exhibit, "test", collection.pool[rows])
    for column, (row, image) in enumerate(zip(rows, images, strict=True)):
        x = left + column * (SIDE + GAP) + (2 * GAP if column else 0)
        sheet.image(pixels(image), x, top, SIDE)
        if column:
            how = RIGHT if labels[row] == labels[query] else WRONG
            sheet.frame(x, top, SIDE, **how)
        else:
            sheet.frame(x, top, SIDE, edgecolor=INK, linewidth=0.8)


def _key(how: dict[str, object], words: str) -> Line2D:
    line = Line2D([], [], color=how["edgecolor"], label=words)  # type: ignore[arg-type]
    line.set_linestyle(how["linestyle"])  # type: ignore[arg-type]
    line.set_linewidth(how["linewidth"])  # type: ignore[arg-type]
    return line
