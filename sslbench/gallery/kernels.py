"""First-layer kernels of all encoders side by side.

Of a convolution, kernels as they are (Krizhevsky et al., "ImageNet Classification with Deep
Convolutional Neural Networks", NeurIPS 2012, figure 3). Of a vision transformer's patch embedding,
its principal components (Dosovitskiy et al., arXiv:2010.11929, figure 7): single ones look like
noise.
"""

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from safetensors import safe_open

from sslbench.data.draws import permutation
from sslbench.gallery.collection import SEED, Collection
from sslbench.gallery.exhibits import Exhibit
from sslbench.gallery.sheet import LINE, Sheet, mosaic, pixels
from sslbench.nn.lab import CENTRE, HALF_RANGE, lab_to_rgb
from sslbench.report.picture import Picture
from sslbench.report.plots import short

SHOWN = 64  # kernels of an encoder at most, drawn by seed if it has more
COMPONENTS = 36  # of a patch embedding
PATCH = 12  # pixels: kernels of this side or larger are a patch embedding
ACROSS, PANEL, GAP = 4, 1.6, 0.16  # panels, their inches, inches in between
IN_GAMUT = 0.6  # of the range of Lab, most colours of which sRGB has
COLOURLESS = 0.1  # share of a kernel's energy that channels do not share, below which it is grey

Weights = NDArray[np.float32]  # kernels x channels x h x w


def kernels(collection: Collection) -> Picture | str:
    """One panel per encoder; or why there is none."""
    found = {one: weights for one in collection.exhibits if (weights := _stem(one)) is not None}
    if not found:
        return "No first-layer kernels: no encoder begins with one convolution of three channels."
    exhibits = list(found)
    shares = {one: _colourless(weights) for one, weights in found.items()}
    said = "; ".join(
        f"{one.title} {100 * share:.0f} %" for one, share in shares.items() if share is not None
    )
    left_out = [one.title for one in collection.exhibits if one not in found]
    without = f" Not shown, for want of such a layer: {'; '.join(left_out)}." if left_out else ""
    return Picture(
        name="kernels",
        title="First-layer kernels",
        caption=(
            "The weights of the first layer as small images. Mid-grey is zero, and each kernel is "
            "scaled by its own largest weight. Edges, bars and spots of colour are learnt; an "
            f"untrained layer holds noise. At most {SHOWN} kernels of an encoder, drawn by seed; "
            f"of patch embeddings the first {COMPONENTS} principal components.{without}"
        ),
        alternative=f"Kernels that hardly see colour, as a share of all: {said or 'not measured'}.",
        inputs=collection.inputs(exhibits, picture="kernels", version=1),
        draw=lambda: _figure(found, shares),
    )


def _stem(exhibit: Exhibit) -> Weights | None:
    """The first layer's weights, read alone: kernels x 3 x h x w, of Lab's channels in RGB."""
    with safe_open(exhibit.path, "np") as file:
        if exhibit.encoder.input == "lab_split":
            parts = [file.get_tensor(f"network.{t}.conv1.weight") for t in ("lightness", "colour")]
            return _of_towers(*parts)
        names = [
            name
            for name in file.keys()  # noqa: SIM118
            if len(shape := file.get_slice(name).get_shape()) == 4
            and shape[1] == 3
            and min(shape[2:]) > 1
        ]
        return file.get_tensor(names[0]).astype(np.float32) if len(names) == 1 else None


def _of_towers(lightness: Weights, colour: Weights) -> Weights:
    """Kernels of both towers as colours: of RGB, how far they are from mid-grey."""
    lab = np.zeros((len(lightness) + len(colour), 3, *lightness.shape[2:]), np.float32)
    lab[: len(lightness), :1], lab[len(lightness) :, 1:] = lightness, colour
    scaled = torch.from_numpy(lab / np.abs(lab).max((1, 2, 3), keepdims=True).clip(1e-12))
    grey = torch.tensor([CENTRE[0], 0.0, 0.0]).view(1, 3, 1, 1)
    shift = IN_GAMUT * torch.tensor(HALF_RANGE).view(1, 3, 1, 1) * scaled
    found: Weights = (lab_to_rgb(grey + shift).clamp(0, 1) - lab_to_rgb(grey)).numpy()
    return found


def _colourless(weights: Weights) -> float | None:
    """The share of kernels whose channels are nearly alike; None for a patch embedding."""
    if weights.shape[-1] >= PATCH:
        return None
    energy = np.square(weights).sum((1, 2, 3))
    apart = np.square(weights - weights.mean(1, keepdims=True)).sum((1, 2, 3))
    return float((apart <= COLOURLESS * energy).mean())


def _shown(weights: Weights) -> Weights:
    """The kernels to draw, each between -1 and 1."""
    if weights.shape[-1] >= PATCH:
        rows = weights.reshape(len(weights), -1)
        axes = np.linalg.svd(rows - rows.mean(0), full_matrices=False)[2]
        weights = axes[:COMPONENTS].reshape(-1, *weights.shape[1:])
    elif len(weights) > SHOWN:
        weights = weights[np.sort(permutation(SEED, "gallery/kernels", len(weights))[:SHOWN])]
    largest = np.abs(weights).max((1, 2, 3), keepdims=True)
    scaled: Weights = weights / largest.clip(1e-12)
    return scaled


def _figure(found: dict[Exhibit, Weights], shares: dict[Exhibit, float | None]) -> Figure:
    across = min(ACROSS, len(found))
    down = -(-len(found) // across)
    cell = PANEL + 2 * LINE + GAP
    sheet = Sheet(GAP + across * (PANEL + GAP), GAP / 2 + down * cell)
    for number, (one, weights) in enumerate(found.items()):
        left = GAP + (number % across) * (PANEL + GAP)
        top = GAP / 2 + (number // across) * cell
        sheet.text(short(one.title, 21), left, top + LINE / 2, weight="bold")
        share, size = shares[one], f"{weights.shape[2]} x {weights.shape[3]}"
        said = f"{size}, components" if share is None else f"{size}, {100 * share:.0f} % grey"
        sheet.text(said, left, top + 1.5 * LINE)
        shown = torch.from_numpy(0.5 + 0.5 * _shown(weights))
        tiles = np.stack([pixels(kernel) for kernel in shown])
        side = max(1, 24 // weights.shape[-1])
        columns = int(np.ceil(np.sqrt(len(tiles))))
        made = mosaic(tiles, columns, 3, side)
        sheet.image(made, left, top + 2 * LINE + 0.02, PANEL, PANEL * made.shape[0] / made.shape[1])
    return sheet.figure
