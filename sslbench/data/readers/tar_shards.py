"""Images in tar files as WebDataset writes them: ``train-000000.tar``, ``train-000001.tar``, ...

Such files are made to be read from front to back, which ties the order of an epoch to theirs. Here
every image is read by its place (see tar_index), so that the order of an epoch, and what a resumed
run sees of it, are those of any other source.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from sslbench.config import Settings, build
from sslbench.data.groups import Groups
from sslbench.data.images import decoded
from sslbench.data.readers.source import (
    Integers,
    SplitData,
    finest_names,
    level_labels,
    some,
    wrong_count,
    wrong_labels,
    wrong_names,
)
from sslbench.data.readers.tar_index import BLOCK, Index, expanded, index_of
from sslbench.data.spec import DatasetSpec
from sslbench.errors import ConfigError, DataError


class ShardOptions(Settings):
    shards: dict[str, str]  # by split: train-{000000..001281}.tar, or with * for whatever is there
    label: str = "cls"  # what the name of a label ends in
    names: str | None = None  # a text file of the classes, one a line
    groups: Groups = {}  # upper levels: {level: {group: classes}}, or a table's name


@dataclass(frozen=True)
class ShardImages:
    """Images by their places in tar files, decoded each time they are read."""

    shards: tuple[Path, ...]
    shard: Integers  # N, which of the files
    start: Integers  # N, the image's first byte in it
    size: Integers  # N, the image's bytes

    def __len__(self) -> int:
        return len(self.shard)

    def read(self, position: int) -> Tensor:
        path = self.shards[self.shard[position]]
        try:
            with path.open("rb", buffering=0) as file:
                file.seek(int(self.start[position]) - BLOCK)
                content = file.read(BLOCK + int(self.size[position]))
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error})") from error
        name = content[:100].split(b"\0")[0].decode("utf-8", "replace")
        return decoded(content[BLOCK:], f"{path}: {name}")

    def at(self, positions: Integers) -> "ShardImages":
        return ShardImages(
            self.shards, self.shard[positions], self.start[positions], self.size[positions]
        )


class ShardSource:
    def __init__(self, spec: DatasetSpec, folder: Path) -> None:
        self.spec, self.folder = spec, folder
        where = f"data set {spec.name!r}: options"
        self.options = build(ShardOptions, spec.options, where)
        missing = sorted(set(spec.splits) - set(self.options.shards))
        if missing:
            raise ConfigError(f"{where}.shards: none for {', '.join(missing)}")

    @cached_property
    def _shards(self) -> dict[str, tuple[Path, ...]]:
        return {
            split: expanded(self.folder, self.options.shards[split]) for split in self.spec.splits
        }

    @cached_property
    def _indices(self) -> dict[str, Index]:
        return {
            split: index_of(shards, self.options.label) for split, shards in self._shards.items()
        }

    def faults(self) -> list[str]:
        faults = []
        for split, shards in self._shards.items():
            label = f"{self.spec.name}, {split}"
            missing = [path.name for path in shards if not path.is_file()]
            if missing:
                faults.append(
                    f"{label}: {len(missing):,} of {len(shards):,} shards are not in "
                    f"{self.folder}: {some(missing)}"
                )
            elif not shards:
                faults.append(f"{label}: no shard {self.options.shards[split]} in {self.folder}")
        if self.options.names is not None and not (self.folder / self.options.names).is_file():
            faults.append(
                f"{self.spec.name}: no list of classes {self.folder / self.options.names}"
            )
        if faults:
            return faults
        try:
            faults = wrong_names(self.spec, self.class_names()[0])
            indices = self._indices
        except (DataError, ConfigError) as error:
            return [str(error)]
        for split, index in indices.items():
            faults += wrong_count(self.spec, split, len(index.start), self.folder)
            if index.labels is not None:
                faults += wrong_labels(self.spec, split, index.labels, self.options.shards[split])
        return faults

    def class_names(self) -> list[list[str]]:
        names = finest_names(self.spec, self.folder, self.options.names)
        return level_labels(self.spec, names, self.options.groups)[0]

    def read(self, split: str) -> SplitData:
        index = self._indices[split]
        images = ShardImages(self._shards[split], index.shard, index.start, index.size)
        if index.labels is None:
            return SplitData(images, None)
        _, table = level_labels(self.spec, self.class_names()[0], self.options.groups)
        return SplitData(images, table[index.labels])

    def files(self) -> tuple[Path, Iterable[str]]:
        shards = (
            path.relative_to(self.folder).as_posix()
            for shards in self._shards.values()
            for path in shards
        )
        return self.folder, [*shards, *filter(None, [self.options.names])]
