"""The embedded data as a source: pictures computed, or read from the cache of computed ones."""

import hashlib
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from sslbench.config import Settings, build, canonical
from sslbench.data.images import HeldImages
from sslbench.data.readers.source import Boxes, SplitData, presence
from sslbench.data.rendered import VERSION, canvases, objects, scenes, textures
from sslbench.data.rendered.cache import Arrays, remembered
from sslbench.data.rendered.grid import bytes_of
from sslbench.data.spec import DatasetSpec
from sslbench.errors import ConfigError

_KINDS = {"objects": objects, "scenes": scenes, "textures": textures}
_CHUNK = 250  # pictures at a time: the working arrays then fit the processor's cache


class RenderedOptions(Settings):
    kind: Literal["objects", "scenes", "canvases", "textures"]
    seed: int = 0


class EmbeddedSource:
    def __init__(self, spec: DatasetSpec) -> None:
        self.spec = spec
        self.options = build(RenderedOptions, spec.options, f"data set {spec.name!r}: options")
        if spec.image_size is None or None in spec.splits.values():
            raise ConfigError(f"data set {spec.name!r}: image_size and all splits must be numbers")
        self.size = spec.image_size

    def faults(self) -> list[str]:
        levels = [level.classes for level in self.spec.levels]
        drawn = [len(names) for names in self.class_names()]
        if levels != drawn:
            return [f"{self.spec.name}: levels of {levels} classes, but {drawn} are drawn"]
        return []

    def class_names(self) -> list[list[str]]:
        kind = self.options.kind
        levels = canvases.CLASSES if kind == "canvases" else _KINDS[kind].CLASSES
        return [list(names) for names in levels]

    def read(self, split: str) -> SplitData:
        key = [VERSION, self.options, self.spec.splits[split], self.size]
        digest = hashlib.sha256(canonical(key).encode()).hexdigest()[:16]
        name = f"{self.options.kind}-{split}-{digest}"
        arrays = remembered(name, lambda: self._render(split))
        images = HeldImages(torch.from_numpy(arrays["pixels"]))
        if self.options.kind != "canvases":
            return SplitData(images, arrays["labels"].astype(np.int64))
        boxes = _by_image(arrays, len(images))
        labels = presence(boxes, self.spec.levels[0].classes)
        return SplitData(images, labels, boxes if self.spec.task == "detection" else None)

    def _render(self, split: str) -> Arrays:
        count = self.spec.splits[split]
        assert count is not None
        seed = self.options.seed
        chunks = np.split(np.arange(count), range(_CHUNK, count, _CHUNK))
        if self.options.kind == "canvases":
            parts = [canvases.render(seed, split, chunk, self.size) for chunk in chunks]
            return {
                "pixels": np.concatenate([bytes_of(part.picture) for part in parts]),
                "xyxy": np.concatenate([part.xyxy for part in parts]),
                "classes": np.concatenate([part.classes for part in parts]),
                # Each chunk counts its own images from zero.
                "image": np.concatenate(
                    [part.image + chunk[0] for part, chunk in zip(parts, chunks, strict=True)]
                ),
            }
        kind = _KINDS[self.options.kind]
        labels = kind.labels(seed, split, count)
        pixels = [
            bytes_of(kind.render(seed, split, chunk, labels[chunk, 0], self.size))
            for chunk in chunks
        ]
        return {"pixels": np.concatenate(pixels), "labels": labels}

    def files(self) -> tuple[Path, Iterable[str]] | None:
        return None


def _by_image(arrays: Arrays, count: int) -> tuple[Boxes, ...]:
    ends = np.searchsorted(arrays["image"], np.arange(count + 1))
    xyxy: NDArray[np.float32] = arrays["xyxy"].astype(np.float32)
    classes = arrays["classes"].astype(np.int64)
    return tuple(
        Boxes(xyxy[a:b], classes[a:b], np.zeros(b - a, dtype=np.bool_)) for a, b in pairwise(ends)
    )
