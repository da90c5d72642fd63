"""Feature maps of an encoder's stages, and where on the image they are strong.

How strong is the mean square over channels, the spatial attention of Zagoruyko and Komodakis,
"Paying More Attention to Attention", ICLR 2017, arXiv:1612.03928, section 3.1.
"""

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from sslbench.gallery.collection import Collection
from sslbench.gallery.exhibits import Exhibit, joined
from sslbench.gallery.overlay import coloured, laid_over, scale_bar, stretched
from sslbench.gallery.sheet import LINE, Sheet, label, margin, mosaic, pixels
from sslbench.report.picture import Picture

STAGES = 4  # of the encoder at most, the last ones
CHANNELS = 4  # of a stage: those that differ most over the image
SIDE, GAP = 0.62, 0.06  # inches


def feature_maps(collection: Collection) -> Picture | str:
    """A row per encoder, all on one test image."""
    exhibits = collection.exhibits
    return Picture(
        name="feature-maps",
        title="Feature maps of one test image",
        caption=(
            f"For each of the last {STAGES} stages, finest first: the {CHANNELS} channels that "
            "vary most over the image, at their own resolution, and beside them the mean square "
            "over all channels, laid over the image in grey. Each map is scaled by itself. The "
            f"image is drawn by seed from the test images of {collection.known_spec.name}."
        ),
        alternative=(
            "Feature maps by stage of " + joined(exhibits) + ". Early "
            "stages keep the image's edges; the last ones have few positions."
        ),
        inputs=collection.inputs(exhibits, picture="feature-maps", version=1),
        draw=lambda: _figure(collection),
    )


def _figure(collection: Collection) -> Figure:
    position = collection.drawn("test", 1)
    rows = [_row(collection, one, position) for one in collection.exhibits]
    most = max(len(maps) for _, maps in rows)
    left = margin([one.title for one in collection.exhibits])
    width = left + SIDE + most * 2 * (SIDE + GAP) + most * GAP + 2 * GAP
    top = 2 * LINE + GAP
    sheet = Sheet(width, top + len(rows) * (SIDE + GAP) + 2 * LINE)
    sheet.text("image", left + SIDE / 2, 1.5 * LINE, ha="center")
    for stage in range(most):
        start = left + SIDE + 2 * GAP + stage * (2 * (SIDE + GAP) + GAP)
        middle = start + SIDE + GAP / 2
        back = most - stage
        sizes = {tuple(maps[-back].shape[1:]) for _, maps in rows if len(maps) >= back}
        place = "last stage" if back == 1 else f"{back - 1} before the last"
        size = " x ".join(map(str, sizes.pop())) if len(sizes) == 1 else place
        sheet.text(size, middle, LINE / 2, ha="center")
        sheet.text("channels", start + SIDE / 2, 1.5 * LINE, ha="center")
        sheet.text("strength", start + 1.5 * SIDE + GAP, 1.5 * LINE, ha="center")
    for number, (one, (image, maps)) in enumerate(zip(collection.exhibits, rows, strict=True)):
        y = top + number * (SIDE + GAP)
        label(sheet, one.title, left - GAP, y + SIDE / 2)
        sheet.image(pixels(image[0]), left, y, SIDE)
        for stage, values in enumerate(maps, start=most - len(maps)):
            start = left + SIDE + 2 * GAP + stage * (2 * (SIDE + GAP) + GAP)
            sheet.image(_channels(values), start, y, SIDE)
            strength = stretched(values.square().mean(0, keepdim=True))
            sheet.image(laid_over(image, strength)[0], start + SIDE + GAP, y, SIDE)
    scale_bar(
        sheet.axes, width / 2 - 0.5, top + len(rows) * (SIDE + GAP) + 0.1, 1, "weak", "strong"
    )
    return sheet.figure


def _row(
    collection: Collection, exhibit: Exhibit, position: np.ndarray
) -> tuple[Tensor, list[Tensor]]:
    """The image as it was seen, 1 x 3 x S x S, and the maps of its stages, C x H x W each."""
    image = collection.seen(exhibit, "test", position)
    with torch.no_grad():
        maps = collection.encoder(exhibit).feature_maps(image)
    return image.cpu(), [one[0].float().cpu() for one in maps[-STAGES:]]


def _channels(maps: Tensor) -> np.ndarray:
    """The channels that vary most, 2 x 2."""
    chosen = maps.flatten(1).var(1, correction=0).topk(min(CHANNELS, len(maps))).indices
    tiles = coloured(stretched(maps[chosen]))
    scale = max(1, 48 // tiles.shape[1])
    return mosaic(tiles, 2, 2, scale)
