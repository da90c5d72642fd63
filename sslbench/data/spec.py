"""What a data set is: its task, its splits, where its images come from. Imports no torch."""

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from sslbench.config import Settings, Tree, build, load_yaml, merge
from sslbench.errors import ConfigError


class Level(Settings):
    """One level of labels, such as species or family."""

    name: str
    classes: int = Field(ge=1)


class DatasetSpec(Settings):
    """One data set. Part of a run's identity, so nothing here depends on the machine."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")  # part of records' file names
    task: Literal["classification", "multilabel", "detection"] = "classification"
    levels: tuple[Level, ...] = Field(min_length=1)  # finest first
    splits: dict[str, int | None]  # images where known; always "train" and "test"
    subset: dict[str, int] = {}  # {train: 10000}: that many by a seeded permutation
    source: Literal[
        "folder", "torchvision", "voc", "coco", "csv_list", "arrays", "tar_shards", "rendered"
    ]
    folder: str = ""  # below the data root
    image_size: int | None = None  # pixels of a side where all images are square and equal
    options: dict[str, Any] = {}  # what the source's reader needs, such as file patterns
    home: str = ""  # where people get it: shown in messages, no part of its identity

    def hashed(self) -> Tree:
        return {key: value for key, value in super().hashed().items() if key != "home"}

    @model_validator(mode="after")
    def _splits_hold_together(self) -> "DatasetSpec":
        if Path(self.folder).is_absolute() or ".." in Path(self.folder).parts:
            raise ValueError(f"folder {self.folder!r} must lie below the data root")
        missing = {"train", "test"} - set(self.splits)
        if missing:
            raise ValueError(f"splits must name train and test, {sorted(missing)} missing")
        for split, count in self.subset.items():
            known = self.splits.get(split)
            if split not in self.splits or (known is not None and not 0 < count <= known):
                raise ValueError(f"subset {split}: {count} does not fit the split's {known} images")
        return self

    def not_classified(self, level: int) -> str | None:
        """Why images have not one class each of several at a level of labels, or None."""
        if self.task != "classification":
            return f"it needs one class per image; {self.name} is a {self.task} data set"
        if level >= len(self.levels):
            return f"level {level}: {self.name} has {len(self.levels)} label levels"
        if self.levels[level].classes < 2:
            return f"{self.name} has one class, of which every image is"
        return None

    def images(self, split: str) -> int | None:
        """How many images of a split are used, where that is known without looking."""
        return self.subset.get(split, self.splits[split])


@cache
def catalogue() -> dict[str, Tree]:
    """The data sets known by name, from datasets.yaml."""
    text = resources.files("sslbench.data").joinpath("datasets.yaml").read_text(encoding="utf-8")
    return load_yaml(text, "datasets.yaml")


def dataset_spec(name: str, changes: dict[str, Tree] | None = None) -> DatasetSpec:
    """The spec called ``name``; ``changes`` are a suite's own additions to the catalogue.

    Raises ConfigError if no data set has that name.
    """
    known = merge(catalogue(), changes or {})
    if name not in known:
        raise ConfigError(f"no data set {name!r}. Known: {', '.join(sorted(known))}")
    return build(DatasetSpec, {"name": name, **known[name]}, f"data set {name!r}")
