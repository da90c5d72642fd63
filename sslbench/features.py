"""Frozen features, encoded once per (encoder, data, preprocessing, layer, split) and kept on disk.

All evaluations, runs and suites of a results folder share them: a protocol that is added later
encodes nothing again. An encoder is known by the digest of its tensors, taken anew at every call:
one that was changed in place must never be given what it was (0.15 s for a ResNet-50).
"""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import torch
from filelock import FileLock, Timeout
from safetensors import safe_open
from torch import Tensor

from sslbench import __version__, distributed
from sslbench.api import Features, Split
from sslbench.config import fingerprint
from sslbench.data.datasets import LabelledDataset
from sslbench.disk import writing
from sslbench.errors import DataError, Diverged, StoreError
from sslbench.feature_files import (
    SCHEMA_VERSION,
    TENSOR,
    FeatureHeader,
    Rows,
    feature_path,
    read_header,
)
from sslbench.feature_pass import Pass
from sslbench.feature_writing import Begun, begun, write_features
from sslbench.nn.digest import tensors_digest
from sslbench.nn.encoder import Encoder
from sslbench.orders import Encode
from sslbench.run import VIEWS_VERSION, Preprocessing
from sslbench.store import now

BLOCK = 4096  # rows copied at once
AGAIN_SECONDS = 1.0  # until another process's lock is tried again


class FeatureStore:
    """The features of a results folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

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

        ``x`` is mapped from a file: rows that are read take no memory that cannot be given back,
        and what is written into them stays in this process. ``layer`` counts the encoder's feature
        maps, finest first; -1 is the encoder's output, all others are maps averaged over positions.
        ``fit`` and ``held_out`` are rows of ``train``, divided by ``seed``.
        Raises ConfigError for a layer that is not there, DataError if images and labels do not
        match, Diverged if a feature is not finite, StoreError if a file is damaged or cannot be
        written.
        """
        stored: Split = "test" if split == "test" else "train"
        images, y = len(dataset.images(stored)), torch.from_numpy(dataset.labels(stored))
        if not 0 < images == len(y):
            raise DataError(
                f"{dataset.spec.name}, {stored}: {images} images, {len(y)} rows of labels, "
                "expected as many of both, and at least one"
            )
        wanted = _Wanted(encoder, dataset, stored, layer, preprocessing)
        path = feature_path(self.folder, wanted.key)
        if not path.exists():
            with _alone(path, lambda: on_progress(0, images)):
                if not path.exists():
                    wanted.write(path, device, workers, on_progress)
        x = _mapped(path)
        if len(x) != images:
            raise StoreError(f"{path}: {len(x)} rows of {images} images. Remove the file")
        index = torch.arange(images)
        if split in ("fit", "held_out"):
            held_out = torch.from_numpy(dataset.held_out(seed))
            index = index[held_out if split == "held_out" else ~held_out]
            return Features(self._chosen(x, index), y[index], index)
        return Features(x, y, index)

    def _chosen(self, x: Tensor, index: Tensor) -> Tensor:
        """Rows of ``x``, mapped from a file without a name, which goes when nobody uses it."""
        if not len(index):
            return x[:0]
        with writing(self.folder), TemporaryFile(dir=self.folder) as file:
            for rows in torch.split(index, BLOCK):
                file.write(x[rows].numpy().data)
            file.flush()
            return torch.from_numpy(
                np.memmap(file, np.float32, mode="c", shape=(len(index), x.shape[1]))
            )


def feature_key(
    digest: str,
    encoder: Encoder,
    dataset: LabelledDataset,
    split: Split,
    layer: int,
    preprocessing: Preprocessing,
) -> str:
    """The fingerprint of all that features depend on."""
    return fingerprint(
        {
            "schema_version": SCHEMA_VERSION,
            "views_version": VIEWS_VERSION,
            "encoder": {"digest": digest, "config": encoder.config.hashed()},
            "data": {"digest": dataset.digest, "spec": dataset.spec.hashed()},
            "split": split,
            "preprocessing": preprocessing.hashed(),
            "layer": layer,
            "precision": "fp32",
        }
    )


class _Wanted:
    """The features of a split that are not there yet, or not all of them."""

    def __init__(
        self,
        encoder: Encoder,
        dataset: LabelledDataset,
        split: Split,
        layer: int,
        preprocessing: Preprocessing,
    ) -> None:
        self.encoder, self.dataset, self.split = encoder, dataset, split
        self.layer, self.preprocessing = layer, preprocessing
        self.digest = tensors_digest(encoder.state_dict())
        self.key = feature_key(self.digest, encoder, dataset, split, layer, preprocessing)

    def write(
        self,
        path: Path,
        device: torch.device,
        workers: int,
        on_progress: Callable[[int, int], None],
    ) -> None:
        """Encodes what an earlier call has not, and writes the file."""
        left = begun(path, self.key)
        start = left.rows if left is not None else 0
        with closing(self._encoded(device, workers, on_progress, start)) as blocks:
            self._write(path, blocks, left)

    def _write(self, path: Path, blocks: Iterator[Rows], left: Begun | None) -> None:
        if left is not None:
            write_features(path, left.header, blocks, left)
            return
        first = next(blocks)  # says how wide they are
        header = FeatureHeader(
            key=self.key,
            encoder_digest=self.digest,
            encoder=self.encoder.config.name,
            dataset=self.dataset.spec.name,
            split=self.split,
            layer=self.layer,
            preprocessing=self.preprocessing.hashed(),
            rows=len(self.dataset.images(self.split)),
            dim=first.shape[1],
            sslbench=__version__,
            created=now(),
        )
        write_features(path, header, chain([first], blocks))

    def _encoded(
        self,
        device: torch.device,
        workers: int,
        on_progress: Callable[[int, int], None],
        start: int,
    ) -> Generator[Rows, None, None]:
        """Features of the images from ``start`` on, a batch of rows at a time.

        Raises Diverged if one is not finite.
        """
        images = self.dataset.images(self.split)
        if distributed.size() > 1:
            order = Encode(
                self.encoder.config,
                {name: tensor.cpu() for name, tensor in self.encoder.state_dict().items()},
                self.dataset.spec,
                self.split,
                self.layer,
                self.preprocessing,
                start,
            )
            distributed.tell(order)
        work = Pass(self.encoder, images, self.layer, self.preprocessing, start, device, workers)
        done = start
        with closing(work.blocks()) as blocks:  # at once: other ranks wait for what is next
            for rows in blocks:
                done += len(rows)
                bad = int((~rows.isfinite().all(dim=1)).sum())
                if bad:
                    raise Diverged(
                        f"the encoder's features of {bad} of {len(rows)} images of "
                        f"{self.dataset.spec.name} ({self.split}, up to image {done} of "
                        f"{len(images)}) are not finite"
                    )
                on_progress(done, len(images))
                yield rows.numpy()


@contextmanager
def _alone(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """While no other process makes ``path``; one that waits is told every second."""
    lock = FileLock(path.with_name(f".{path.stem}.lock"))
    while not lock.is_locked:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=AGAIN_SECONDS)
            except Timeout:
                waiting()
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)  # first: who waits then finds it gone
        lock.release()


def _mapped(path: Path) -> Tensor:
    """The rows of a file, as its pages. Raises StoreError if it is damaged."""
    read_header(path)
    with safe_open(path, "pt") as file:
        x: Tensor = file.get_tensor(TENSOR)
    with suppress(OSError):  # another's folder, to be read only: its owner then sees no use of it
        os.utime(path)
    return x
