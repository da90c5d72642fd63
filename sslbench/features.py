"""Frozen features, computed once per (encoder, data, preprocessing) and shared by evaluations."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor

from sslbench.api import ConfigError, Features, Split
from sslbench.config import canonical
from sslbench.data.datasets import LabelledDataset
from sslbench.data.loaders import embed_batches
from sslbench.errors import DataError, Diverged
from sslbench.nn.digest import tensors_digest
from sslbench.nn.encoder import Encoder
from sslbench.run import Preprocessing

BATCH = 256  # images of a forward pass
GIB = 2**30


class FeatureStore:
    """Features kept in memory, least recently used out first, while one encoder is evaluated.

    The limit is for what is kept beside the largest: a training set's features are in use anyway,
    and a small test set that drove them out would cost another pass over all its images.
    """

    def __init__(self, limit_gib: float = 4.0) -> None:
        self.limit = int(limit_gib * GIB)
        self._kept: OrderedDict[tuple[str, ...], Tensor] = OrderedDict()

    def features(
        self,
        encoder: Encoder,
        dataset: LabelledDataset,
        split: Split,
        layer: int,
        preprocessing: Preprocessing,
        *,
        seed: int,
        device: torch.device,
        workers: int,
        on_progress: Callable[[int, int], None],
    ) -> Features:
        """Features of a split on the CPU, float32, in data set order.

        ``layer`` counts the encoder's feature maps, finest first; -1 is the encoder's output, all
        others are maps averaged over positions. ``fit`` and ``held_out`` are rows of ``train``,
        divided by ``seed``. Raises ConfigError for a layer that is not there, DataError if images
        and labels do not match, Diverged if a feature is not finite.
        """
        stored: Split = "test" if split == "test" else "train"
        x = self._embedded(
            encoder, dataset, stored, layer, preprocessing, device, workers, on_progress
        )
        y = torch.from_numpy(dataset.labels(stored))
        if len(x) != len(y):
            raise DataError(
                f"{dataset.spec.name}, {stored}: {len(x)} images, but {len(y)} rows of labels"
            )
        index = torch.arange(len(x))
        if split in ("fit", "held_out"):
            held_out = torch.from_numpy(dataset.held_out(seed))
            index = index[held_out if split == "held_out" else ~held_out]
            return Features(x[index], y[index], index)
        return Features(x, y, index)

    def _embedded(
        self,
        encoder: Encoder,
        dataset: LabelledDataset,
        split: Split,
        layer: int,
        preprocessing: Preprocessing,
        device: torch.device,
        workers: int,
        on_progress: Callable[[int, int], None],
    ) -> Tensor:
        key = (
            tensors_digest(encoder.state_dict()),
            canonical(encoder.config),
            dataset.digest,
            canonical(dataset.spec),
            canonical(preprocessing),
            split,
            str(layer),
        )
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        views = embed_batches(
            dataset.images(split),
            preprocessing.image_size,
            BATCH,
            device,
            workers,
            filter=preprocessing.filter,
            crop_fraction=preprocessing.crop_fraction,
        )
        was_training = encoder.training
        encoder.eval()
        x, done = torch.empty(0), 0
        with torch.no_grad():
            for batch in views:
                images = batch.contiguous(memory_format=torch.channels_last)
                rows = _layer(encoder, images, layer).float().cpu()
                if not done:  # all rows at once: joined later, they would take twice the memory
                    x = torch.empty(views.total, rows.shape[1])
                x[done : done + len(rows)] = rows
                done += len(rows)
                on_progress(done, views.total)
        encoder.train(was_training)
        bad = int((~x.isfinite().all(dim=1)).sum())
        if bad:
            raise Diverged(
                f"the encoder's features of {bad} of {len(x)} images of {dataset.spec.name} "
                f"({split}) are not finite"
            )
        self._keep(key, x)
        return x

    def _keep(self, key: tuple[str, ...], x: Tensor) -> None:
        self._kept[key] = x
        while True:
            sizes = [kept.nbytes for kept in self._kept.values()]
            if sum(sizes) - max(sizes) <= self.limit:
                return
            self._kept.popitem(last=False)


def _layer(encoder: Encoder, images: Tensor, layer: int) -> Tensor:
    if layer == -1:
        features: Tensor = encoder(images)
        return features
    maps = encoder.feature_maps(images)
    if not -len(maps) <= layer < len(maps):
        raise ConfigError(
            f"layer {layer}: encoder {encoder.config.name!r} has {len(maps)} feature maps, "
            f"0 to {len(maps) - 1} or -1 for its output"
        )
    return maps[layer].mean(dim=(2, 3))
