"""Activation maps of convolutional networks: which parts of an image its pooled feature is made of.

Class activation maps (Zhou et al., arXiv:1512.04150) with the pooled feature in place of a class's
weights, as Stylianou et al., "Visualizing Deep Similarity Networks", WACV 2019, arXiv:1901.00536,
divide the similarity of two images over positions: here of an image with itself, so that no label
is needed. Where the last map is too coarse, an earlier one weighs its channels by their gradient,
as in Grad-CAM (Selvaraju et al., arXiv:1610.02391); for the last map both are the same.
"""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from sslbench.gallery.collection import Collection, Positions
from sslbench.gallery.exhibits import Exhibit, joined
from sslbench.gallery.overlay import laid_over, scale_bar
from sslbench.gallery.sheet import LINE, Sheet, label, margin, pixels
from sslbench.nn.encoder import Encoder
from sslbench.report.picture import Picture

IMAGES = 6
POSITIONS = 4  # of a side of the map at least, where an encoder has such a map
SIDE, GAP = 0.84, 0.06  # inches


def activation_maps(collection: Collection) -> Picture | str:
    """A row per convolutional network, on the same test images; or why there is none."""
    from sslbench.gallery.attention_maps import is_transformer

    exhibits = [one for one in collection.exhibits if not is_transformer(one)]
    if not exhibits:
        return "No activation maps: no encoder of this suite is a convolutional network."
    return Picture(
        name="activation-maps",
        title="Activation maps: where the pooled feature comes from",
        caption=(
            "How much each part of an image adds to the squared length of its pooled feature, of "
            "the coarsest map with at least "
            f"{POSITIONS} x {POSITIONS} positions, each map scaled by its largest value. No label "
            "is used. The images are drawn by seed from the test images of "
            f"{collection.known_spec.name}."
        ),
        alternative=(
            f"Activation maps of {joined(exhibits)} over the same "
            f"{IMAGES} test images. A map that is bright on the object and dark elsewhere means "
            "that the feature is of the object."
        ),
        inputs=collection.inputs(exhibits, picture="activation-maps", version=1),
        draw=lambda: _figure(collection, exhibits),
    )


def activation(encoder: Encoder, images: Tensor) -> Tensor:
    """N x H x W in [0, 1]: the channels of a map, weighted by what they add to the feature."""
    with torch.enable_grad():
        maps = encoder.feature_maps(images.requires_grad_())
        fine = [one for one in maps if min(one.shape[-2:]) >= POSITIONS]
        # A split encoder's maps are joined copies, of which the last only leads to the feature.
        chosen = maps[-1] if encoder.is_split or not fine else fine[-1]
        half_norm = maps[-1].mean((2, 3)).square().sum() / 2
        (gradient,) = torch.autograd.grad(half_norm, chosen)
    weights = gradient.mean((2, 3), keepdim=True)  # N x C x 1 x 1
    found = (weights * chosen).sum(1).clamp_min(0).detach()
    return found / found.amax((1, 2), keepdim=True).clamp_min(1e-12)


def _figure(collection: Collection, exhibits: list[Exhibit]) -> Figure:
    positions: Positions = collection.drawn("test", IMAGES)
    left = margin(["image", *(one.title for one in exhibits)])
    width = left + len(positions) * (SIDE + GAP) + GAP
    sheet = Sheet(width, (len(exhibits) + 1) * (SIDE + GAP) + GAP + 2 * LINE)
    label(sheet, "image", left - GAP, GAP + SIDE / 2)
    for row, one in enumerate(exhibits, start=1):
        top = GAP + row * (SIDE + GAP)
        label(sheet, one.title, left - GAP, top + SIDE / 2)
        images = collection.seen(one, "test", positions)
        maps = activation(collection.encoder(one), images)
        for column, over in enumerate(laid_over(images, maps)):
            x = left + column * (SIDE + GAP)
            if row == 1:
                sheet.image(pixels(images[column]), x, GAP, SIDE)
            sheet.image(over, x, top, SIDE)
    bottom = GAP + (len(exhibits) + 1) * (SIDE + GAP) + 0.1
    scale_bar(sheet.axes, width / 2 - 0.5, bottom, 1, "nothing", "most")
    return sheet.figure
