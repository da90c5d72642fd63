"""A results folder without what cannot be believed: damaged, of another schema, edited by hand.

A table refuses to be made of such records; a report leaves them out, names them and says why.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sslbench.config import fingerprint
from sslbench.disk import file_digest
from sslbench.errors import StoreError
from sslbench.report.frame import PRETRAIN, frame
from sslbench.spreads import ENDING, SpreadReader
from sslbench.store import Manifest, PlanFile, Record, Store

MANIFEST = ""  # in place of a record's name


@dataclass(frozen=True)
class Excluded:
    """A manifest or record that is there and is not believed."""

    run: str
    record: str  # its file's name without ending; "" for the manifest
    reason: str


class SoundStore(Store):
    """Reads each file once; what is wrong with it goes to ``excluded``, and it counts as absent."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reader = SpreadReader(self)
        self._excluded: dict[tuple[str, str], Excluded] = {}
        self._manifests: dict[str, Manifest | None] = {}
        self._records: dict[tuple[str, str], Record | None] = {}

    @property
    def excluded(self) -> list[Excluded]:
        """Of what was read so far."""
        return [self._excluded[key] for key in sorted(self._excluded)]

    def manifest(self, run: str) -> Manifest | None:
        if run not in self._manifests:
            try:
                self._manifests[run] = super().manifest(run)
            except StoreError as error:
                self._manifests[run] = None
                self.exclude(run, MANIFEST, error)
        return self._manifests[run]

    def record(self, run: str, evaluation: str) -> Record | None:
        key = (run, evaluation)
        if key not in self._records:
            try:
                found = super().record(run, evaluation)
                if found is not None and found.status == "done":
                    self._check(run, evaluation, found)
                self._records[key] = found
            except StoreError as error:
                self._records[key] = None
                self.exclude(run, evaluation, error)
        return self._records[key]

    def exclude(self, run: str, record: str, error: StoreError) -> None:
        """Puts down why a manifest or record is not believed."""
        self._excluded[run, record] = Excluded(run, record, self.relative(error))

    def relative(self, said: object) -> str:
        """A text whose paths begin in this folder: the same page wherever it is made."""
        return str(said).replace(f"{self.root}/", "")

    def _check(self, run: str, evaluation: str, record: Record) -> None:
        """Raises StoreError if a record does not fit its fingerprint, outcomes or spreads."""
        path = self.evaluation_file(run, evaluation)
        if record.run != run:
            raise StoreError(f"{path}: is a record of run {record.run}")
        if record.fingerprint_sha256 != fingerprint(record.fingerprint):
            raise StoreError(f"{path}: its fingerprint was edited, its digest does not fit")
        outcomes = self.evaluation_file(run, evaluation, "parquet")
        if record.outcomes_sha256 is not None and outcomes.exists():
            found = file_digest(outcomes)
            if found != record.outcomes_sha256:
                raise StoreError(
                    f"{outcomes}: is not the file that its record names (SHA-256 {found[:12]}, "
                    f"expected {record.outcomes_sha256[:12]})"
                )
        for metric, score in record.scores.items():
            entry = {
                "run": run,
                "record": evaluation,
                "metric": metric,
                "value": score.value,
                "spread_sha256": record.spread_sha256 or "",
            }
            spread = self.reader.spread(entry)
            if spread is None or spread.kind != "items":
                continue
            mean = float(np.mean(spread.values))
            if not math.isclose(mean, score.value, rel_tol=1e-5, abs_tol=1e-9):
                raise StoreError(
                    f"{path}: {metric} is {score.value!r}, but the test items of "
                    f"{evaluation}.{ENDING} give {mean!r}: it was edited"
                )


def sound_frame(store: SoundStore, plan: PlanFile) -> pd.DataFrame:
    """``frame``, in which what was left out stands as ``excluded``, with the reason."""
    numbers = frame(store, plan)
    reasons = {(e.run, e.record): e.reason for e in store.excluded}
    if not reasons:
        return numbers
    for place, line in enumerate(numbers.itertuples(index=False)):
        reason = reasons.get((str(line.run), str(line.record)))
        of_run = line.record == MANIFEST and line.evaluation != PRETRAIN  # a skipped evaluation
        if reason is not None and line.status == "missing" and not of_run:
            numbers.loc[place, ["status", "reason"]] = ["excluded", reason]
    return numbers
