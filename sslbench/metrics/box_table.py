"""Tables of boxes: what was to be found, what a detector found, a row each.

An image on which nothing is to be found has a row of its own: a detection on it is a mistake, and
it is one of the images that are drawn when images are resampled, whatever was found on it.

A table may hold several trials, each with all of the truth and its own detections, and truth may
come with areas that are not those of its boxes.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sslbench.errors import DataError

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Times = npt.NDArray[np.int64]  # how often each image occurs, in ascending order of item

BOX_TABLE = pa.schema(
    [
        pa.field("item", pa.int64(), nullable=False),  # position of the image in its split
        # "truth", "detection", or "empty": an image of which nothing is to be found
        pa.field("kind", pa.string(), nullable=False),
        pa.field("class_id", pa.int64(), nullable=False),
        pa.field("score", pa.float32()),  # null for truth
        pa.field("x0", pa.float32(), nullable=False),  # pixels of the image as it is stored
        pa.field("y0", pa.float32(), nullable=False),
        pa.field("x1", pa.float32(), nullable=False),
        pa.field("y1", pa.float32(), nullable=False),
        pa.field("ignore", pa.bool_(), nullable=False),  # truth that is neither hit nor miss
    ]
)
EMPTY = "empty"
TRIAL = pa.field("trial", pa.int64(), nullable=False)  # only where there are several
AREA = pa.field("area", pa.float32())  # of the object in pixels; null for detections; may lack


def truth_rows(items: Integers, class_ids: Integers, boxes: Floats, ignore: Flags) -> pa.Table:
    """Boxes to be found (N x 4: left, top, right, bottom) as rows of ``BOX_TABLE``."""
    return _rows(items, "truth", class_ids, pa.nulls(len(items), pa.float32()), boxes, ignore)


def empty_rows(items: Integers) -> pa.Table:
    """Images without a box to be found, as rows of ``BOX_TABLE``."""
    nowhere, none = np.zeros((len(items), 4), dtype=np.float32), pa.nulls(len(items), pa.float32())
    ignored = np.ones(len(items), dtype=np.bool_)
    return _rows(items, EMPTY, np.full(len(items), -1), none, nowhere, ignored)


def detection_rows(items: Integers, class_ids: Integers, scores: Floats, boxes: Floats) -> pa.Table:
    """Detections (boxes N x 4: left, top, right, bottom) as rows of ``BOX_TABLE``."""
    none = np.zeros(len(items), dtype=np.bool_)
    return _rows(items, "detection", class_ids, scores, boxes, none)


def _rows(
    items: Integers,
    kind: str,
    class_ids: Integers,
    scores: Floats | pa.Array,
    boxes: Floats,
    ignore: Flags,
) -> pa.Table:
    columns = [items, pa.repeat(kind, len(items)), class_ids, scores, *boxes.T, ignore]
    return pa.Table.from_arrays(
        [pa.array(c, f.type) for c, f in zip(columns, BOX_TABLE, strict=True)], schema=BOX_TABLE
    )


def with_areas(table: pa.Table, areas: Floats | None) -> pa.Table:
    """The table with the areas (N, pixels) of its truth; None: it holds detections."""
    column = pa.nulls(table.num_rows, AREA.type) if areas is None else pa.array(areas, AREA.type)
    return table.append_column(AREA, column)


def of_trial(table: pa.Table, trial: int) -> pa.Table:
    """The table as that of one of several trials."""
    return table.append_column(TRIAL, pa.repeat(pa.scalar(trial, TRIAL.type), table.num_rows))


@dataclass(frozen=True)
class BoxRows:
    """The rows of one trial as arrays."""

    items: Integers
    class_ids: Integers
    is_truth: Flags
    ignore: Flags
    scores: Doubles  # NaN for truth
    corners: Doubles  # N x 4: left, top, right, bottom
    areas: Doubles | None  # NaN for detections; None: those of the boxes

    @property
    def counted_classes(self) -> Integers:
        """Ascending. A class without a box that counts has no recall and no part in a mean."""
        return np.unique(self.class_ids[self.is_truth & ~self.ignore])


def trials_of(table: pa.Table) -> list[BoxRows]:
    """The boxes of each trial. Raises DataError for a table that is none of boxes."""
    missing = [name for name in BOX_TABLE.names if name not in table.column_names]
    if missing:
        raise DataError(
            f"a table of boxes has the columns {', '.join(BOX_TABLE.names)}; "
            f"missing: {', '.join(missing)}"
        )
    kinds = table["kind"].to_numpy()
    unknown = set(kinds) - {"truth", "detection", EMPTY}
    if unknown:
        raise DataError(
            f"column kind: 'truth', 'detection' or 'empty' expected, found {sorted(unknown)}"
        )
    table = table.filter(pa.array(kinds != EMPTY))
    kinds = kinds[kinds != EMPTY]
    is_truth = kinds == "truth"
    scores = table["score"].to_numpy().astype(np.float64)  # null becomes NaN
    corners = np.stack(
        [table[name].to_numpy().astype(np.float64) for name in ("x0", "y0", "x1", "y1")], axis=1
    )
    if np.isnan(scores[~is_truth]).any() or np.isnan(corners).any():
        raise DataError(
            "a table of boxes holds a detection without a score or a box without corners"
        )
    areas = None
    if AREA.name in table.column_names:
        areas = table[AREA.name].to_numpy().astype(np.float64)
        if np.isnan(areas[is_truth]).any():
            raise DataError("a table of boxes with areas holds a box to be found without one")
    numbers = np.zeros(table.num_rows, dtype=np.int64)
    if TRIAL.name in table.column_names:
        numbers = table[TRIAL.name].to_numpy()
    found = []
    for trial in np.unique(numbers) if len(numbers) else [0]:
        of = numbers == trial
        found.append(
            BoxRows(
                table["item"].to_numpy()[of],
                table["class_id"].to_numpy()[of],
                is_truth[of],
                table["ignore"].to_numpy()[of],
                scores[of],
                corners[of],
                None if areas is None else areas[of],
            )
        )
    return found
