"""One evaluation after the other on encoders that lie in a results folder, trained here or not.

What has a matching record is not done again, every outcome becomes a record, and a failure is one
too: the next evaluation goes on.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from sslbench.checkpoints import Checkpoints
from sslbench.data.datasets import LabelledDataset, check_dataset, open_dataset
from sslbench.data.spec import DatasetSpec
from sslbench.environment import environment
from sslbench.errors import (
    DataError,
    Interrupted,
    RankFailed,
    SSLBenchError,
    UnwritableError,
    all_faults,
)
from sslbench.evaluate import evaluate, evaluation_checkpoints
from sslbench.features import FeatureStore
from sslbench.nn.config import EncoderConfig
from sslbench.nn.encoder import Encoder
from sslbench.run import EvaluationConfig
from sslbench.sharing import in_turn
from sslbench.store import Failure, Record, Store, now
from sslbench.train.export import import_tensors


class Watcher(Protocol):
    """What is told of a run's course: the progress display, or a test."""

    def stage(self, title: str, number: int, of: int) -> None: ...

    def update(self, done: int, total: int, note: str) -> None: ...

    def finished(self, message: str) -> None: ...


@dataclass
class Tally:
    """What a call of ``run`` or ``evaluate`` did."""

    done: int = 0
    already: int = 0
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Examination:
    """One evaluation of one encoder."""

    title: str  # for people: row, seed and the suite's key
    run: str
    seed: int
    encoder: EncoderConfig
    wanted: EvaluationConfig


class Examiner:
    """A results folder, its data sets, a device."""

    def __init__(
        self,
        store: Store,
        *,
        data_root: Path | None,
        download: bool,
        device: torch.device,
        workers: int,
        watcher: Watcher,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.store, self.data_root, self.download = store, data_root, download
        self.device, self.workers, self.watcher = device, workers, watcher
        self.stopped = stopped
        self.environment = environment(device)
        self.features = FeatureStore(store.features_folder)
        self._open: dict[str, LabelledDataset] = {}

    def check(self, pending: Sequence[DatasetSpec]) -> None:
        """Raises one error with all faults of the results folder and of data sets."""
        self.store.check_writable()
        faults: list[str] = []
        if not self.download:
            faults = [fault for spec in pending for fault in check_dataset(spec, self.data_root)]
        if faults:
            raise DataError(
                all_faults(list(dict.fromkeys(faults)), f"{len(faults)} faults in data")
            )

    def dataset(self, spec: DatasetSpec) -> LabelledDataset:
        name = spec.model_dump_json()
        if name not in self._open:
            self._open[name] = open_dataset(spec, self.data_root, self.download)
        return self._open[name]

    def is_done(self, run: str, wanted: EvaluationConfig) -> bool:
        """Whether there is a record of the encoder that the run has now."""
        manifest = self.store.manifest(run)
        if manifest is None or manifest.status != "done":
            return False
        record = self.store.record(run, wanted.id)
        if record is None or record.encoder_digest != manifest.encoder_digest:
            return False
        if record.status == "done":
            return record.spread_sha256 is not None  # older records kept nothing to compare by
        return record.status == "skipped"

    def failure_since(self, run: str, wanted: EvaluationConfig, began: str) -> Failure | None:
        """What another process has met with meanwhile: it is not tried again in the same call."""
        record = self.store.record(run, wanted.id)
        return record.failure if record is not None and record.created > began else None

    def run(self, examinations: Sequence[Examination]) -> Tally:
        """Those that have no record. Interrupted passes through."""
        todo = [one for one in examinations if not self.is_done(one.run, one.wanted)]
        tally = Tally(already=len(examinations) - len(todo))
        began = now()
        turns = in_turn(
            self.store,
            todo,
            lambda one: one.run,
            stopped=self.stopped,
            waiting=self.watcher.finished,
        )
        for number, one in enumerate(turns, start=1):
            if self.is_done(one.run, one.wanted):  # by another process, since
                tally.already += 1
                continue
            self.watcher.stage(one.title, number, len(todo))
            failure = self.failure_since(one.run, one.wanted, began) or self.examine(one)
            if failure is None:
                tally.done += 1
            else:
                tally.failures.append(f"{one.title}: {failure.message}")
        return tally

    def examine(self, one: Examination) -> Failure | None:
        """Evaluates, writes the record, and says why if it failed."""
        began = time.monotonic()
        wanted = one.wanted

        def watch(done: int, total: int) -> None:
            self.watcher.update(done, total, "")
            if self.stopped():
                raise Interrupted("interrupted; the same command goes on from here")

        record: Record
        try:
            encoder, artifacts = self._subject(one)
            self._drop_of_failed(one)
            record = evaluate(
                wanted,
                encoder,
                artifacts,
                self.dataset(wanted.dataset),
                run=one.run,
                seed=one.seed,
                store=self.store,
                features=self.features,
                device=self.device,
                environment=self.environment,
                workers=self.workers,
                on_progress=watch,
            )
        except (Interrupted, KeyboardInterrupt, UnwritableError, RankFailed):
            raise
        except SSLBenchError as error:  # a data set or an encoder that cannot be opened, say
            record = Record(
                run=one.run,
                evaluation=wanted.evaluation,
                dataset=wanted.dataset.name,
                identity=wanted.hash,
                status="failed",
                reason=str(error),
                failure=Failure.of(error),
                created=now(),
            )
        self.store.write_record(wanted.id, record)
        if record.status == "done":  # behind all that may yet fail
            self._checkpoints(one.run, wanted, record).remove()
        if record.failure is not None:
            self.watcher.finished(f"{one.title}: FAILED, {record.failure.message}")
            return record.failure
        if record.status == "skipped":
            self.watcher.finished(f"{one.title}: skipped, {record.reason}")
            return None
        score = record.scores[record.headline]
        self.watcher.finished(
            f"{one.title}: {record.headline} {score.value:.1f}{score.unit} "
            f"in {time.monotonic() - began:.0f} s"
        )
        return None

    def _drop_of_failed(self, one: Examination) -> None:
        """What a failed evaluation learnt from data that was changed since, as to mend it."""
        failed = self.store.record(one.run, one.wanted.id)
        if failed is None or failed.status != "failed" or not failed.fingerprint:
            return
        if failed.fingerprint["data"]["digest"] != self.dataset(one.wanted.dataset).digest:
            self._checkpoints(one.run, one.wanted, failed).remove_own()

    def _checkpoints(self, run: str, wanted: EvaluationConfig, record: Record) -> Checkpoints:
        """Those of the evaluation that a record tells of."""
        data = record.fingerprint["data"]["digest"]
        return evaluation_checkpoints(self.store, run, wanted, record.encoder_digest, data)

    def _subject(self, one: Examination) -> tuple[Encoder, dict[str, Tensor]]:
        """The encoder as its manifest names it, and what its method left beside it."""
        folder = self.store.run_folder(one.run)
        manifest = self.store.manifest(one.run)
        assert manifest is not None
        encoder = Encoder(one.encoder)
        encoder.load_state_dict(
            import_tensors(folder / "encoder.safetensors", manifest.encoder_digest)
        )
        artifacts: dict[str, Tensor] = {}
        if (folder / "artifacts.safetensors").exists():
            artifacts = import_tensors(folder / "artifacts.safetensors")
        return encoder, artifacts
