"""Attention maps of vision transformers: what the class token looks at in the last block.

One map per head, as in Caron et al., "Emerging Properties in Self-Supervised Vision Transformers",
ICCV 2021, arXiv:2104.14294, figure 1. Where there is no class token, the mean over all patches.
"""

from typing import Any

import timm
import torch
from matplotlib.figure import Figure
from torch import Tensor

from sslbench.errors import ConfigError
from sslbench.gallery.collection import Collection
from sslbench.gallery.exhibits import Exhibit, joined
from sslbench.gallery.overlay import laid_over, scale_bar
from sslbench.gallery.sheet import LINE, Sheet, label, margin, pixels
from sslbench.nn.encoder import Encoder
from sslbench.report.picture import Picture

IMAGES = 2
HEADS = 6  # of the last block at most
SIDE, GAP = 0.7, 0.06  # inches


def is_transformer(exhibit: Exhibit) -> bool:
    """Whether timm's name of an encoder is one of its vision transformers."""
    module = timm.models.model_entrypoint(exhibit.encoder.name.partition(".")[0]).__module__
    return bool(module.rpartition(".")[2] in ("vision_transformer", "deit"))


def attention_maps(collection: Collection) -> Picture | str:
    """A row per vision transformer and image; or why there is none."""
    exhibits = [one for one in collection.exhibits if is_transformer(one)]
    if not exhibits:
        return "No attention maps: no encoder of this suite is a vision transformer."
    return Picture(
        name="attention-maps",
        title="Attention maps of the last block",
        caption=(
            "How much the class token attends to each patch, for the mean over heads and for the "
            f"first {HEADS} heads, each map scaled by its largest value. The images are drawn by "
            f"seed from the test images of {collection.known_spec.name}."
        ),
        alternative=(
            f"Attention maps of {joined(exhibits)} over the same {IMAGES} "
            "test images. Heads that are bright on different parts have divided the image."
        ),
        inputs=collection.inputs(exhibits, picture="attention-maps", version=1),
        draw=lambda: _figure(collection, exhibits),
    )


def attention(encoder: Encoder, images: Tensor) -> Tensor:
    """N x heads x H x W: the class token's attention to the patches in the last block.

    Switches the encoder's fused attention off, which never holds these numbers. Raises ConfigError
    if its last block has no attention that can be read.
    """
    network = encoder.network
    last: Any = getattr(network.blocks[-1], "attn", None)
    drop = getattr(last, "attn_drop", None)
    if not isinstance(drop, torch.nn.Module):
        raise ConfigError(f"encoder {encoder.config.name!r}: its last block's attention is hidden")
    last.fused_attn = False
    kept: list[Tensor] = []  # N x heads x tokens x tokens
    hook = drop.register_forward_hook(lambda module, given, made: kept.append(made))
    try:
        with torch.no_grad():
            encoder(images)
    finally:
        hook.remove()
    before = network.num_prefix_tokens
    rows = kept[0][:, :, :1, before:] if network.cls_token is not None else kept[0][..., before:]
    height, width = network.patch_embed.grid_size
    images_and_heads = rows.shape[:2]
    return rows.mean(2).reshape(*images_and_heads, height, width).float()


def _figure(collection: Collection, exhibits: list[Exhibit]) -> Figure:
    positions = collection.drawn("test", IMAGES)
    found = []
    for one in exhibits:
        images = collection.seen(one, "test", positions)
        heads = attention(collection.encoder(one), images)
        maps = torch.cat([heads.mean(1, keepdim=True), heads[:, :HEADS]], 1)
        found.append((images, maps / maps.amax((2, 3), keepdim=True).clamp_min(1e-12)))
    most = max(maps.shape[1] for _, maps in found)
    left = margin([one.title for one in exhibits])
    width = left + (1 + most) * (SIDE + GAP) + GAP
    rows = len(exhibits) * len(positions)
    sheet = Sheet(width, LINE + GAP + rows * (SIDE + GAP) + 2 * LINE)
    names = ["image", "mean", *(f"head {number}" for number in range(1, most))]
    for column, name in enumerate(names):
        sheet.text(name, left + column * (SIDE + GAP) + SIDE / 2, LINE / 2, ha="center")
    for number, (one, (images, maps)) in enumerate(zip(exhibits, found, strict=True)):
        start = LINE + GAP + number * len(positions) * (SIDE + GAP)
        label(sheet, one.title, left - GAP, start + len(positions) * (SIDE + GAP) / 2)
        for row, (image, of_heads) in enumerate(zip(images, maps, strict=True)):
            top = start + row * (SIDE + GAP)
            sheet.image(pixels(image), left, top, SIDE)
            shown = laid_over(image.expand(len(of_heads), -1, -1, -1), of_heads)
            for column, over in enumerate(shown, start=1):
                sheet.image(over, left + column * (SIDE + GAP), top, SIDE)
    bottom = LINE + GAP + rows * (SIDE + GAP) + 0.1
    scale_bar(sheet.axes, width / 2 - 0.5, bottom, 1, "nothing", "most")
    return sheet.figure
