"""Features at length 1, all of them at hand, though they may be larger than the memory."""

from tempfile import TemporaryFile

import numpy as np
import torch
from torch import Tensor

from sslbench.errors import UnwritableError
from sslbench.nn.losses import unit

HELD_BYTES = 2**31  # up to here they are held in memory
BLOCK = 1 << 14  # rows taken at once


def unit_rows(features: Tensor) -> Tensor:
    """Rows (N x D, maybe mapped from a file) at length 1, on the CPU; zeros stay zeros.

    Many rows are mapped from a file without a name, which goes when nobody uses it: k-means passes
    over them again and again. Raises UnwritableError if there is no room for it.
    """
    blocks = map(unit, torch.split(features, BLOCK))
    if features.numel() * 4 <= HELD_BYTES:
        return torch.cat(list(blocks)).cpu()
    try:
        with TemporaryFile() as file:
            for block in blocks:
                file.write(np.ascontiguousarray(block.cpu().numpy(), np.float32).data)
            file.flush()
            return torch.from_numpy(
                np.memmap(file, np.float32, mode="c", shape=tuple(features.shape))
            )
    except OSError as error:
        raise UnwritableError(
            f"no room for {features.numel() * 4 / 2**30:.0f} GiB of features in the folder of "
            f"temporary files ({error.strerror}). Name another in TMPDIR"
        ) from error
