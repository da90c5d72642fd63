"""The images of a split through a frozen encoder, a batch at a time; ranks take batches in turn."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sslbench import distributed
from sslbench.api import ConfigError
from sslbench.data.images import ImageSet
from sslbench.data.loaders import embed_batches
from sslbench.errors import SSLBenchError
from sslbench.nn.encoder import Encoder
from sslbench.nn.modes import measuring
from sslbench.run import Preprocessing

BATCH = 256  # images of a forward pass: what else is in a batch rounds features


@dataclass(frozen=True)
class Pass:
    """From image ``start`` on, a whole number of batches."""

    encoder: Encoder
    images: ImageSet
    layer: int
    preprocessing: Preprocessing
    start: int
    device: torch.device
    workers: int

    def blocks(self) -> Generator[Tensor, None, None]:
        """On rank 0 the features of all batches in order, n x D on the CPU; on others nothing.

        What a rank meets with, such as a damaged image, is raised on rank 0 alone. Closed before
        its end on rank 0, it ends on all. Raises ConfigError for a layer that is not there.
        """
        ranks = distributed.size()
        own = self._own(slice(self.start // BATCH + distributed.rank(), None, ranks))
        left = -(-(len(self.images) - self.start) // BATCH)
        rounds = -(-left // ranks)
        for number in range(1, rounds + 1):
            found = distributed.to_first(_tried(own))
            if not distributed.is_first():
                if number < rounds and not distributed.told():
                    return
                continue
            goes_on = False
            try:
                for rows, fault in found:
                    if fault is not None:
                        raise fault
                    if rows is not None:
                        yield rows
                goes_on = True
            finally:
                if number < rounds:
                    distributed.tell(goes_on)

    def _own(self, batches: slice) -> Iterator[Tensor]:
        views = embed_batches(
            self.images,
            self.preprocessing.image_size,
            BATCH,
            self.device,
            self.workers,
            filter=self.preprocessing.filter,
            crop_fraction=self.preprocessing.crop_fraction,
            batches=batches,
        )
        for batch in views:
            with measuring(self.encoder):
                images = batch.contiguous(memory_format=torch.channels_last)
                yield _layer(self.encoder, images, self.layer).float().cpu()


def _tried(batches: Iterator[Tensor]) -> tuple[Tensor | None, Exception | None]:
    """The next batch, if there is one, or why it could not be had, as another rank can be told."""
    try:
        return next(batches, None), None
    except Exception as error:
        if distributed.is_first() or isinstance(error, SSLBenchError):
            return None, error
        return None, RuntimeError(str(distributed.failed(error)))


def _layer(encoder: Encoder, images: Tensor, layer: int) -> Tensor:
    if layer == -1:
        features: Tensor = encoder(images)
        return features
    maps: Any = encoder.feature_maps(images)
    if not -len(maps) <= layer < len(maps):
        raise ConfigError(
            f"layer {layer}: encoder {encoder.config.name!r} has {len(maps)} feature maps, "
            f"0 to {len(maps) - 1} or -1 for its output"
        )
    averaged: Tensor = maps[layer].mean(dim=(2, 3))
    return averaged
