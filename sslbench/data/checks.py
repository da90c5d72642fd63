"""What labels and images of a split must be before anything is measured on them."""

from collections.abc import Callable, Sequence

import numpy as np

from sslbench.data.images import FileImages, ImageSet, MappedImages
from sslbench.data.readers.source import Integers, PathList, SplitData, some
from sslbench.data.readers.tar_shards import ShardImages
from sslbench.data.spec import DatasetSpec
from sslbench.errors import DataError

TEST_IMAGES = 2  # no interval can be had of fewer
HELD_OUT_IMAGES = 2  # of each class: one to fit and one to select by


def check_shape(spec: DatasetSpec, split: str, data: SplitData) -> None:
    """Raises DataError if labels are not one per image and level, or out of the classes."""
    if data.labels is None:
        return
    several = spec.task != "classification"
    width = spec.levels[0].classes if several else len(spec.levels)
    if data.labels.shape != (len(data.images), width):
        raise DataError(
            f"{spec.name}, {split}: labels of shape {data.labels.shape} for {len(data.images)} "
            f"images, expected {(len(data.images), width)}"
        )
    if several:
        return
    for level, column in zip(spec.levels, data.labels.T, strict=True):
        if len(column) and not 0 <= column.min() <= column.max() < level.classes:
            raise DataError(
                f"{spec.name}, {split}: {level.name} labels run from {column.min()} to "
                f"{column.max()}, expected 0 to {level.classes - 1}"
            )


def split_faults(
    spec: DatasetSpec, split: str, data: SplitData, names: Callable[[int], Sequence[str]]
) -> list[str]:
    """Why nothing can be measured on a split; ``names``: those of the classes of a level.

    Pre-training asks for none of this: it sees no labels and no test images.
    """
    label, wanted = f"{spec.name}, {split}", spec.subset.get(split)
    faults = []
    if split == "test" and len(data.images) < TEST_IMAGES:
        faults.append(
            f"{label}: {len(data.images)} images, at least {TEST_IMAGES} expected. "
            + ("Add images" if wanted is None else f"Set a larger subset.{split}")
        )
    if data.labels is None or spec.task != "classification":
        return faults
    for number, (level, column) in enumerate(zip(spec.levels, data.labels.T, strict=True)):
        absent = np.flatnonzero(np.bincount(column, minlength=level.classes) == 0)
        if len(absent):
            mend = (
                "Add images of it, or take it out of the data and of levels"
                if wanted is None
                else f"Set a subset.{split} larger than {wanted:,}, or another data set"
            )
            faults.append(
                f"{label}: no image of {level.name} {_named(absent, names(number))}; an "
                f"evaluation needs every class in train and in test. {mend}"
            )
    return faults


def shared_faults(spec: DatasetSpec, train: ImageSet, test: ImageSet) -> list[str]:
    """The fault that files are both in train and in test, by their paths; contents are not read."""
    if isinstance(train, ShardImages) and isinstance(test, ShardImages):
        both = sorted({path.name for path in {*train.shards} & {*test.shards}})
        mend = "A test set must be images of its own: name other shards"
        return (
            [f"{spec.name}: shards both of train and of test: {some(both)}. {mend}"] if both else []
        )
    if isinstance(train, MappedImages) and isinstance(test, MappedImages):
        return (
            [f"{spec.name}: train and test are both {train.path}"]
            if train.path == test.path
            else []
        )
    if not (isinstance(train, FileImages) and isinstance(test, FileImages)):
        return []
    shared = _shared(train.paths, test.paths)
    if not shared:
        return []
    return [
        f"{spec.name}: {len(shared):,} of {len(test):,} test images are also in train: "
        f"{some(shared)}. A test set must be images of its own: change the lists or folders of its "
        "splits"
    ]


def _shared(train: Sequence[object], test: Sequence[object]) -> list[str]:
    if isinstance(train, PathList) and isinstance(test, PathList):
        if train.folder.resolve() != test.folder.resolve():
            return []
        known = {test.name(position) for position in range(len(test))}
        names = (train.name(position) for position in range(len(train)))  # may be millions
        return sorted({name for name in names if name in known})
    return sorted(set(map(str, train)) & set(map(str, test)))


def check_can_be_divided(spec: DatasetSpec, finest: Integers, names: Sequence[str]) -> None:
    """Raises DataError if a class is too small to be both in what is held out and in the rest."""
    counts = np.bincount(finest, minlength=spec.levels[0].classes)
    small = np.flatnonzero((counts > 0) & (counts < HELD_OUT_IMAGES))
    if len(small):
        raise DataError(
            f"{spec.name}, train: one image only of {spec.levels[0].name} {_named(small, names)}; "
            f"an evaluation that selects on held-out images needs {HELD_OUT_IMAGES} of every class "
            "at least, one to fit and one to select by. Add images of it, or take it out"
        )


def _named(classes: Integers, names: Sequence[str]) -> str:
    return some([repr(names[cls]) if cls < len(names) else str(cls) for cls in classes.tolist()])
