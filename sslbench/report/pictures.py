"""A picture of the embedded data: ``python -m sslbench.report.pictures FILE.png``."""

import sys
from io import BytesIO
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from sslbench.data.datasets import LabelledDataset, open_dataset
from sslbench.data.images import held
from sslbench.data.spec import dataset_spec
from sslbench.disk import write_atomic

Pixels = NDArray[np.uint8]


def _opened(name: str) -> LabelledDataset:
    return open_dataset(dataset_spec(name), None)


def _examples(dataset: LabelledDataset, level: int, each: int) -> list[list[Pixels]]:
    """The first ``each`` test images of every class of a level, H x W x 3."""
    pixels = held(dataset.images("test")).pixels.permute(0, 2, 3, 1).numpy()
    labels = dataset.labels("test")[:, level]
    classes = dataset.spec.levels[level].classes
    return [list(pixels[np.flatnonzero(labels == c)[:each]]) for c in range(classes)]


def _mosaic(rows: list[list[Pixels]], gap: int = 2) -> Pixels:
    side = rows[0][0].shape[0] + gap
    sheet = np.full((side * len(rows) - gap, side * len(rows[0]) - gap, 3), 255, dtype=np.uint8)
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            sheet[y * side : y * side + image.shape[0], x * side : x * side + image.shape[1]] = (
                image
            )
    return sheet


def _show(axes: Axes, sheet: Pixels, title: str) -> None:
    axes.imshow(sheet, interpolation="nearest")
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_axis_off()


def _canvases(axes: Axes, count: int = 3) -> None:
    dataset = _opened("canvases")
    gap, side = 2, 96
    images = [held(dataset.images("test")).pixels[i].permute(1, 2, 0).numpy() for i in range(count)]
    _show(axes, _mosaic([[image] for image in images]), "canvases with boxes")
    for row, boxes in enumerate(dataset.boxes("test")[:count]):
        for x0, y0, x1, y1 in boxes.xyxy:
            corner = (x0 - 0.5, y0 - 0.5 + row * (side + gap))
            axes.add_patch(
                Rectangle(corner, x1 - x0, y1 - y0, fill=False, edgecolor="white", linewidth=1.4)
            )


def contact_sheet(path: Path) -> None:
    """Examples of the four embedded data sets as one PNG."""
    figure, axes = pyplot.subplot_mosaic(
        [["objects", "canvases"], ["scenes", "textures"]],
        figsize=(10, 5.2),
        width_ratios=[4.4, 1],
        height_ratios=[2.35, 1],
        layout="constrained",
    )
    # A row per kingdom and sample, a column per species: three species make a family.
    species = _examples(_opened("objects"), 0, 8)
    rows = [
        [species[kingdom * 9 + s][sample] for s in range(9)]
        + [species[kingdom * 9 + s][sample + 4] for s in range(9)]
        for kingdom in range(4)
        for sample in range(2)
    ]
    _show(
        axes["objects"],
        _mosaic(rows),
        "objects: 4 kingdoms (two rows each) of 3 families of 3 species (columns, twice)",
    )
    _canvases(axes["canvases"])
    scenes = _examples(_opened("scenes"), 0, 3)
    _show(
        axes["scenes"],
        _mosaic([[c[s] for c in scenes] for s in range(3)]),
        "scenes: the Places role",
    )
    textures = _examples(_opened("textures"), 0, 1)
    grid = [[textures[y * 4 + x][0] for x in range(4)] for y in range(4)]
    _show(axes["textures"], _mosaic(grid), "textures")
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    pyplot.close(figure)
    with Image.open(drawn) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)  # a third of the bytes
    write_atomic(path, lambda temporary: small.save(temporary, format="png", optimize=True))


if __name__ == "__main__":
    contact_sheet(Path(sys.argv[1]))
