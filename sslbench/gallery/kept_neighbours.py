"""Neighbours that an evaluation of retrieval kept: the very ones that its scores are made of."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from sslbench.api import Split
from sslbench.disk import file_digest
from sslbench.errors import StoreError
from sslbench.gallery.collection import Collection, Positions
from sslbench.gallery.exhibits import Exhibit
from sslbench.metrics.retrieval import kept_neighbours
from sslbench.store import Record

PLUGIN = "retrieval"


@dataclass(frozen=True)
class Kept:
    """The outcomes of one encoder."""

    record: Record
    path: Path

    @property
    def split(self) -> Split:
        """Of the images that neighbours are among."""
        gallery: Split = self.record.fingerprint["settings"]["gallery"]
        return gallery

    @property
    def level(self) -> int:
        """Of the labels that are compared."""
        return int(self.record.fingerprint["settings"]["level"])

    def read(self) -> "KeptTable":
        """Raises StoreError if the file is not the one that its record names."""
        if file_digest(self.path) != self.record.outcomes_sha256:
            raise StoreError(f"{self.path} is not the file that its record names")
        items, labels, neighbours, theirs = kept_neighbours(pq.read_table(self.path))
        return KeptTable(
            items.astype(np.int64), neighbours.astype(np.int64), theirs == labels[:, None]
        )


@dataclass(frozen=True)
class KeptTable:
    """Test images as queries, and their neighbours, nearest first."""

    queries: Positions  # N
    neighbours: Positions  # N x K
    right: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]  # N x K


def kept_by_all(collection: Collection) -> list[Kept]:
    """Outcomes of one protocol of every exhibit, in their order; empty if some has none here."""
    name = collection.known_spec.name
    found = [_by_protocol(one, name) for one in collection.exhibits]
    for protocol in found[0] if found else ():
        if all(protocol in of_one for of_one in found):
            return [of_one[protocol] for of_one in found]
    return []


def _by_protocol(exhibit: Exhibit, dataset: str) -> dict[str, Kept]:
    """By fingerprint, in the suite's order, what was measured of this very encoder."""
    kept = {}
    for name, record in exhibit.named.items():
        path = exhibit.folder / "evaluations" / f"{name}.parquet"
        if (
            record.evaluation == PLUGIN
            and (record.dataset, record.status) == (dataset, "done")
            and record.encoder_digest == exhibit.digest
            and path.exists()
        ):
            kept[record.fingerprint_sha256] = Kept(record, path)
    return kept
