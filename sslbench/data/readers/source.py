"""What every reader gives: images, labels and boxes of a split, its files, and its faults."""

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, overload

import numpy as np
from numpy.typing import NDArray

from sslbench.data.groups import Groups, members_of
from sslbench.data.images import ImageSet
from sslbench.data.spec import DatasetSpec
from sslbench.errors import ConfigError, DataError

log = logging.getLogger(__name__)
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Boxes:
    """The objects of one image."""

    xyxy: NDArray[np.float32]  # K x 4, pixels: left, top, right, bottom; right and bottom exclusive
    classes: Integers  # K
    ignore: NDArray[np.bool_]  # K, difficult (VOC) or a crowd (COCO): found or not, it never counts
    covered: NDArray[np.float32] | None = None  # K, pixels that an object covers, where known
    left_out: int = 0  # objects whose box has no area; they are not among the K

    @property
    def areas(self) -> NDArray[np.float32]:
        """K, pixels: of the objects where known, else of their boxes."""
        if self.covered is not None:
            return self.covered
        areas: NDArray[np.float32] = (self.xyxy[:, 2:] - self.xyxy[:, :2]).prod(axis=1)
        return areas


@dataclass(frozen=True)
class SplitData:
    images: ImageSet
    labels: Integers | None  # N x levels, finest first, or N x classes; None: without labels
    boxes: tuple[Boxes, ...] | None = None  # N; only for detection


class Source(Protocol):
    """A data set as it lies on the disk. ``read`` is called only when ``faults`` finds nothing."""

    def faults(self) -> list[str]:
        """All that is wrong as far as it shows without opening images."""
        ...

    def class_names(self) -> list[list[str]]:
        """Names by level, finest first."""
        ...

    def read(self, split: str) -> SplitData: ...

    def files(self) -> tuple[Path, Iterable[str]] | None:
        """A folder and all names below it that the numbers depend on; None: computed pictures."""
        ...


class PathList(Sequence[Path]):
    """Paths below one folder. Two arrays instead of a million objects, so that worker processes
    share the memory."""

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        encoded = [name.encode("utf-8", "surrogateescape") for name in names]
        self.folder = folder
        self._text = b"".join(encoded)
        self._ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def name(self, position: int) -> str:
        """Relative to the folder, with forward slashes."""
        place = range(len(self))[position]
        name = self._text[self._ends[place] : self._ends[place + 1]]
        return name.decode("utf-8", "surrogateescape")

    @overload
    def __getitem__(self, position: int) -> Path: ...
    @overload
    def __getitem__(self, position: slice) -> "PathList": ...
    def __getitem__(self, position: int | slice) -> "Path | PathList":
        if isinstance(position, slice):
            return self.at(range(len(self))[position])
        return self.folder / self.name(position)

    def at(self, positions: Iterable[int]) -> "PathList":
        return PathList(self.folder, (self.name(position) for position in positions))


def wrong_count(spec: DatasetSpec, split: str, found: int, where: Path) -> list[str]:
    """The fault that a split is not as large as the spec says, if it is one."""
    expected = spec.splits[split]
    if expected is None or found == expected:
        return []
    return [
        f"{spec.name}, {split}: {found:,} images in {where}, {expected:,} expected: "
        "half unpacked, or another edition"
    ]


def wrong_labels(spec: DatasetSpec, split: str, labels: Integers, where: object) -> list[str]:
    """The fault that finest labels (N) are not those of the spec's classes, if they are not."""
    classes = spec.levels[0].classes
    if len(labels) == 0 or 0 <= labels.min() <= labels.max() < classes:
        return []
    return [
        f"{spec.name}, {split}: labels in {where} run from {labels.min()} to {labels.max()}, "
        f"expected 0 to {classes - 1}"
    ]


def wrong_names(spec: DatasetSpec, names: Sequence[str]) -> list[str]:
    """The fault that there are not as many names as finest classes, if it is one."""
    classes = spec.levels[0].classes
    if len(names) == classes:
        return []
    return [f"{spec.name}: {len(names)} class names, {classes} expected"]


def finest_names(spec: DatasetSpec, folder: Path, listed: str | None) -> list[str]:
    """The lines of the text file ``listed``, or numbers. Raises DataError if it is not text."""
    if listed is None:
        return [str(number) for number in range(spec.levels[0].classes)]
    try:
        text = (folder / listed).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{folder / listed}: cannot be read as a text file ({error})") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def some(names: Sequence[str]) -> str:
    """The first five, and how many more there are."""
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def level_labels(
    spec: DatasetSpec, classes: Sequence[str], groups: Groups
) -> tuple[list[list[str]], Integers]:
    """Names by level, and for each class its label at every level (classes x levels).

    ``groups`` names the upper levels: {superclass: {fish: [ray, shark, ...], ...}}, each by classes
    or by the groups of the level below. Raises ConfigError if they are not those of the spec.
    """
    where = f"data set {spec.name!r}: options.groups"
    names, table = [list(classes)], [np.arange(len(classes))]
    for level in spec.levels[1:]:
        members = members_of(groups, where).get(level.name, {})
        listed = {
            cls: number for number, cls_list in enumerate(members.values()) for cls in cls_list
        }
        below = zip(classes, table[-1].tolist(), strict=True)
        group_of = {cls: listed.get(cls, listed.get(names[-1][group])) for cls, group in below}
        homeless = [cls for cls in classes if group_of[cls] is None]
        if homeless:
            raise ConfigError(f"{where}.{level.name} has no place for {some(homeless)}")
        if len(members) != level.classes:
            raise ConfigError(
                f"{where}.{level.name} has {len(members)} groups, levels has {level.classes}"
            )
        names.append(list(members))
        table.append(np.array([group_of[cls] for cls in classes], dtype=np.int64))
    return names, np.stack(table, axis=1).astype(np.int64)


def checked_boxes(
    boxes: Sequence[tuple[str, float, float, float, float, int, bool]],
    width: float,
    height: float,
    where: str,
    covered: Sequence[float] | None = None,
) -> Boxes:
    """Boxes as (name of the object, left, top, right, bottom, class, ignore), made safe.

    The rule: up to a pixel beyond the image is rounding and is clipped; further out, or no number,
    is an error, for then the boxes belong to another image or scale. One without area is left out,
    named in the log, and counted. ``covered``: the pixels that each object covers, where known.
    """
    kept = []
    for place, (name, left, top, right, bottom, cls, ignore) in enumerate(boxes):
        inside = min(left, top) >= -1 and right <= width + 1 and bottom <= height + 1
        if not (inside and math.isfinite(left + top + right + bottom)):
            raise DataError(
                f"{where}: {name} has the box ({left:g}, {top:g}, {right:g}, {bottom:g}), outside "
                f"its image of {width:g} x {height:g} pixels"
            )
        corners = (max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height))
        if corners[2] <= corners[0] or corners[3] <= corners[1]:
            log.warning("%s: %s has a box without area; left out", where, name)
            continue
        kept.append((corners, cls, ignore, None if covered is None else covered[place]))
    return Boxes(
        np.array([box for box, _, _, _ in kept], dtype=np.float32).reshape(-1, 4),
        np.array([cls for _, cls, _, _ in kept], dtype=np.int64),
        np.array([ignore for _, _, ignore, _ in kept], dtype=np.bool_),
        None if covered is None else np.array([of for *_, of in kept], dtype=np.float32),
        len(boxes) - len(kept),
    )


def presence(boxes: Sequence[Boxes], classes: int) -> Integers:
    """N x classes: 1 where an image shows a class, -1 where only ignored objects do, else 0."""
    table = np.zeros((len(boxes), classes), dtype=np.int64)
    for row, found in zip(table, boxes, strict=True):
        row[found.classes[found.ignore]] = -1
        row[found.classes[~found.ignore]] = 1
    return table
