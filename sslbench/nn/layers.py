"""Which layers of an encoder can be measured: its output and its feature maps.

-1 is the output, 0 the finest map; maps are averaged over their positions. The last map of a ResNet
is its output, so there the two numbers name the same features. A vision transformer has one map.
"""

from weakref import WeakKeyDictionary

import torch

from sslbench.errors import ConfigError
from sslbench.nn.encoder import Encoder
from sslbench.nn.modes import measuring

OUTPUT = -1
PROBE = 64  # pixels of a side, where the network does not fix it

_SEEN: WeakKeyDictionary[Encoder, dict[tuple[int, int], list[torch.Size]]] = WeakKeyDictionary()


def no_such_layer(encoder: Encoder, *layers: int) -> str | None:
    """Why an encoder cannot be measured at one of these layers, or None."""
    deepest = max(layers)
    if deepest == OUTPUT:
        return None
    fixed = getattr(getattr(encoder.network, "patch_embed", None), "img_size", None)
    try:
        maps = len(map_shapes(encoder, *(fixed or (PROBE, PROBE))))
    except ConfigError as error:
        return f"{error}: measure layer {OUTPUT}"
    if deepest < maps:
        return None
    return (
        f"layer {deepest}: encoder {encoder.config.name!r} has {maps} feature maps, "
        f"0 to {maps - 1} or {OUTPUT} for its output"
    )


def map_shapes(encoder: Encoder, height: int, width: int) -> list[torch.Size]:
    """Of the feature maps of one blank image, finest first: 1 x C_i x H_i x W_i.

    Looked at once per encoder, for planning asks for every row. Raises ConfigError if timm gives no
    maps of this network.
    """
    seen = _SEEN.setdefault(encoder, {})
    if (height, width) not in seen:
        blank = torch.zeros(1, 3, height, width, device=encoder.mean.device)
        try:
            with measuring(encoder):
                seen[height, width] = [of.shape for of in encoder.feature_maps(blank)]
        except (AttributeError, NotImplementedError, AssertionError) as error:
            raise ConfigError(
                f"encoder {encoder.config.name!r} gives no feature maps ({error})"
            ) from error
    return seen[height, width]
