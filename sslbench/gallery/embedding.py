"""Features in two dimensions by t-SNE, coloured by each level of the labels.

van der Maaten and Hinton, "Visualizing Data using t-SNE", JMLR 9, 2008; scikit-learn's, started
from the principal components (Kobak and Berens, "The art of using t-SNE for single-cell
transcriptomics", Nature Communications 10, 2019), so that the seed hardly matters.
"""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from sslbench.data.draws import permutation
from sslbench.gallery.collection import SEED, Collection
from sslbench.gallery.sheet import DPI, LETTER
from sslbench.report.picture import Picture
from sslbench.report.plots import BLUE, GREY, INK, ORANGE, short

POINTS = 500  # test images, drawn by seed
PERPLEXITY = 30.0
ACROSS = 3  # panels side by side where there is one level
WIDTH, HEIGHT = 2.1, 1.4  # inches of a panel
NAMED = 12  # classes of a level at most whose names stand below
HUES = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", GREY, INK)  # Okabe and Ito's
SHAPES = "os^Dv<>P"

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Look:
    """Of the points of a class."""

    colour: str
    shape: str


def embedding(collection: Collection) -> Picture | str:
    """A row per encoder, a panel per level of labels; or why there is none."""
    spec = collection.known_spec
    if not collection.has_classes:
        return f"No embedding in two dimensions: images of {spec.name} have not one class each."
    exhibits = collection.exhibits
    levels = [level.name for level in spec.levels]
    found = "; ".join(said for one in exhibits if (said := one.finding(spec.name)))
    coarser = (
        f" Points of one {levels[-1]} share hue and shape; finer classes are shades of it."
        if len(levels) > 1
        else ""
    )
    return Picture(
        name="embedding",
        title="Features in two dimensions (t-SNE)",
        caption=(
            f"The features of up to {POINTS} test images of {spec.name}, drawn by seed, laid out "
            f"by t-SNE (cosine, perplexity {PERPLEXITY:g}, started from principal components) and "
            f"coloured by {_listed(levels)}.{coarser} Clumps of one colour are classes that the "
            "features keep together. Distances between clumps and their sizes mean nothing."
        ),
        alternative=f"Scores on all test images of {spec.name}: {found or 'not measured'}.",
        inputs=collection.inputs(exhibits, picture="embedding", version=1),
        draw=lambda: _figure(collection),
    )


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def laid_out(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """N x 2 of N x D unit rows."""
    from sklearn.manifold import TSNE

    made = TSNE(
        init="pca",
        perplexity=min(PERPLEXITY, (len(rows) - 1) / 3),
        random_state=SEED,
        n_jobs=1,  # the order of sums, and with it every point, depends on it
    )
    found: NDArray[np.float32] = made.fit_transform(rows)
    return found


def looks(labels: Integers, coarsest: Integers) -> dict[int, Look]:
    """How each class is shown; ``coarsest`` (N) are the classes of the coarsest level.

    Where these are few, a finer class is a shade of its own; else colours repeat in other shapes.
    """
    classes = np.unique(labels).tolist()
    groups = np.unique(coarsest).tolist()
    if len(groups) > len(HUES):
        count = len(HUES)
        return {
            cls: Look(HUES[n % count], SHAPES[n // count % len(SHAPES)])
            for n, cls in enumerate(classes)
        }
    found: dict[int, Look] = {}
    for number, group in enumerate(groups):
        inside = np.unique(labels[coarsest == group]).tolist()
        for place, cls in enumerate(inside):
            shift = 0.0 if len(inside) == 1 else 1.1 * place / (len(inside) - 1) - 0.45
            found[cls] = Look(_shade(HUES[number], shift), SHAPES[number])
    return found


def _shade(colour: str, shift: float) -> str:
    """Towards white where ``shift`` is above 0, towards black below."""
    end = 1.0 if shift > 0 else 0.0
    red, green, blue = (part + (end - part) * abs(shift) for part in to_rgb(colour))
    return to_hex((red, green, blue))


def _figure(collection: Collection) -> Figure:
    exhibits, spec = collection.exhibits, collection.known_spec
    rows = np.sort(permutation(SEED, "gallery/points", len(collection.pool))[:POINTS])
    labels = collection.dataset.labels("test")[collection.pool[rows]]  # N x levels
    levels = len(spec.levels)
    across = levels if levels > 1 else min(ACROSS, len(exhibits))
    down = len(exhibits) if levels > 1 else -(-len(exhibits) // across)
    named = [level for level in range(levels) if len(np.unique(labels[:, level])) <= NAMED]
    width = across * WIDTH + 0.3
    lines = sum(_legend_height(collection, labels, level, width) for level in named)
    figure = Figure(figsize=(width, down * HEIGHT + 0.3 + lines), dpi=DPI)
    FigureCanvasAgg(figure)
    top = figure.add_gridspec(
        down,
        across,
        left=0.28 / width,
        right=0.995,
        top=1 - 0.25 / (down * HEIGHT + 0.3 + lines),
        bottom=lines / (down * HEIGHT + 0.3 + lines),
        wspace=0.04,
        hspace=0.04 if levels > 1 else 0.18,
    )
    for number, one in enumerate(exhibits):
        points = laid_out(collection.pool_features(one)[rows].numpy())
        for level in range(levels):
            place = (number, level) if levels > 1 else divmod(number, across)
            axes = figure.add_subplot(top[place])
            _panel(axes, points, labels[:, level], labels[:, -1])
            if levels > 1 and number == 0:
                axes.set_title(f"{spec.levels[level].name} ({len(np.unique(labels[:, level]))})")
            if levels > 1 and level == 0:
                axes.set_ylabel(short(one.title, 22))
            if levels == 1:
                axes.set_title(short(one.title, 28))
    _names(collection, figure, labels, named)
    return figure


def _panel(axes: Axes, points: NDArray[np.float32], labels: Integers, coarsest: Integers) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for cls, look in looks(labels, coarsest).items():
        x, y = points[labels == cls].T
        # One class behind the other would hide it: small, open to what is below.
        axes.scatter(x, y, s=6, c=look.colour, marker=look.shape, linewidths=0, rasterized=True)


def _names(collection: Collection, figure: Figure, labels: Integers, named: list[int]) -> None:
    """What colours mean, for levels of few classes: below, the coarsest level last."""
    width, height = figure.get_size_inches()
    below = 0.02
    for level in reversed(named):
        names = [short(name) for name in collection.dataset.class_names(level)]
        handles = [
            Line2D([], [], color=look.colour, marker=look.shape, ms=4, lw=0, label=f" {names[cls]}")
            for cls, look in looks(labels[:, level], labels[:, -1]).items()
        ]
        legend = figure.legend(
            handles=handles,
            loc="lower center",
            bbox_to_anchor=(0.5, below / height),
            ncols=_side_by_side(names, width),
            frameon=False,
            borderpad=0.1,
            labelspacing=0.25,
            handletextpad=0,
        )
        figure.add_artist(legend)
        below += _legend_height(collection, labels, level, width)


def _legend_height(collection: Collection, labels: Integers, level: int, width: float) -> float:
    """Inches of the names of a level's classes."""
    across = _side_by_side(collection.dataset.class_names(level), width)
    return 0.1 + 0.17 * -(-len(np.unique(labels[:, level])) // across)


def _side_by_side(names: list[str], width: float) -> int:
    """How many names of classes fit into so many inches, at most four."""
    widest = 0.45 + LETTER * max(len(short(name)) for name in names)
    return max(1, min(4, int(width / widest)))
