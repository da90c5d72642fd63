"""How scores move with the test images, on disk: ``evaluations/NAME.spread.parquet``.

A column per score: either one number per test item, whose mean is the score, or the score of each
resample of the items. Tables take their intervals and tests from here, so that they need neither
the plugin that measured nor torch.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sslbench.disk import file_digest, write_atomic
from sslbench.errors import StoreError
from sslbench.stats.spread import Spread
from sslbench.store import Store

ENDING = "spread.parquet"
_KIND = b"sslbench:kind"  # in the file's own metadata


def write_spreads(path: Path, spreads: Mapping[str, Spread]) -> str:
    """Writes the spreads of one record, of one kind; returns the file's SHA-256.

    A score that has no value in too many resamples has no spread, and a single test item has none.
    """
    kinds = {spread.kind for spread in spreads.values()} or {"items"}
    if len(kinds) > 1:
        raise ValueError(f"spreads of one record: expected one kind, found {sorted(kinds)}")
    table = pa.table({name: spread.values for name, spread in spreads.items()})
    table = table.replace_schema_metadata({_KIND: kinds.pop().encode()})
    write_atomic(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))
    return file_digest(path)


class SpreadReader:
    """The spreads of a results folder, each file read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read = cache(_read)

    def spread(self, entry: Mapping[str, Any]) -> Spread | None:
        """Of a line of the frame that has a value; None for a score that has no spread.

        Raises StoreError if the file is missing, damaged or not the one that the record names.
        """
        run, record, metric = entry["run"], entry["record"], entry["metric"]
        path = self._store.evaluation_file(run, record, ENDING)
        if not entry["spread_sha256"]:
            raise StoreError(
                f"{self._store.evaluation_file(run, record)}: made by an older sslbench, which "
                "kept nothing to compare by. `sslbench run` evaluates it again"
            )
        kind, columns = self._read(path, entry["spread_sha256"])
        if metric not in columns:
            return None
        return Spread(estimate=entry["value"], values=columns[metric], kind=kind)


_REDO = "Remove it and its record (.json), and `sslbench run` evaluates again"


def _read(path: Path, sha256: str) -> tuple[Any, dict[str, Any]]:
    try:
        found = file_digest(path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}). {_REDO}") from error
    if found != sha256:
        raise StoreError(
            f"{path}: is not the file that its record names (SHA-256 {found[:12]}, expected "
            f"{sha256[:12]}). {_REDO}"
        )
    table = pq.read_table(path)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    return table.schema.metadata[_KIND].decode(), columns
