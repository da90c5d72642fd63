"""Which layers of an encoder can be measured: its output and its feature maps.

-1 is the output, 0 the finest map; maps are averaged over their positions. The last map of a ResNet
is its output, so there the two numbers name the same features. A vision transformer has one map.
"""

import torch

from sslbench.errors import ConfigError
from sslbench.nn.encoder import Encoder

OUTPUT = -1
PROBE = 64  # pixels of a side, where the network does not fix it


def no_such_layer(encoder: Encoder, *layers: int) -> str | None:
    """Why an encoder cannot be measured at one of these layers, or None."""
    deepest = max(layers)
    if deepest == OUTPUT:
        return None
    try:
        maps = _maps(encoder)
    except ConfigError as error:
        return str(error)
    if deepest < maps:
        return None
    return (
        f"layer {deepest}: encoder {encoder.config.name!r} has {maps} feature maps, "
        f"0 to {maps - 1} or -1 for its output"
    )


@torch.no_grad()
def _maps(encoder: Encoder) -> int:
    """How many feature maps an encoder gives."""
    fixed = getattr(getattr(encoder.network, "patch_embed", None), "img_size", None)
    images = torch.zeros(1, 3, *(fixed or (PROBE, PROBE)), device=encoder.mean.device)
    was_training = encoder.training
    encoder.eval()  # statistics of batch norm must not see the probe
    try:
        return len(encoder.feature_maps(images))
    except (AttributeError, NotImplementedError) as error:
        raise ConfigError(
            f"encoder {encoder.config.name!r} gives no feature maps ({error}): measure layer -1"
        ) from error
    finally:
        encoder.train(was_training)
