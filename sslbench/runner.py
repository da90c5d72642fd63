"""Walks a plan: does what has no record yet, skips what has, records what fails and goes on."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from sslbench.api import Method, methods
from sslbench.config import build
from sslbench.data.datasets import LabelledDataset, check_dataset, open_dataset
from sslbench.data.spec import DatasetSpec
from sslbench.environment import environment
from sslbench.errors import DataError, Interrupted, SSLBenchError, StoreError, all_faults
from sslbench.evaluate import evaluate
from sslbench.features import FeatureStore
from sslbench.nn.encoder import Encoder
from sslbench.plan import Planned
from sslbench.stages import Stage, specs, stages
from sslbench.store import Failure, Manifest, Record, Store, now
from sslbench.train.baselines import NoSettings, Random, Supervised
from sslbench.train.checkpoint import import_tensors
from sslbench.train.loop import Progress, build_encoder, pretrain, seed_method


class Watcher(Protocol):
    """What is told of a run's course: the progress display, or a test."""

    def stage(self, title: str, number: int, of: int) -> None: ...

    def update(self, done: int, total: int, note: str) -> None: ...

    def finished(self, message: str) -> None: ...


@dataclass
class Tally:
    """What a call of ``run`` did."""

    done: int = 0
    already: int = 0
    failures: list[str] = field(default_factory=list)


class Runner:
    """One call of ``run``: a plan, a results folder, a device."""

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
        fail_fast: bool = False,
    ) -> None:
        self.store, self.data_root, self.download = store, data_root, download
        self.device, self.workers, self.watcher = device, workers, watcher
        self.stopped, self.fail_fast = stopped, fail_fast
        self.environment = environment(device)
        self.tally = Tally()
        self._open: dict[str, LabelledDataset] = {}

    def check(self, plan: Sequence[Planned]) -> None:
        """Raises one error with all faults of data sets, results folder and changed data."""
        self.store.check_writable()
        faults: list[str] = []
        pending = [stage for stage in stages(plan) if not self.is_done(stage)]
        for spec in specs(pending):
            if not self.download:
                faults += check_dataset(spec, self.data_root)
        if faults:
            raise DataError(
                all_faults(list(dict.fromkeys(faults)), f"{len(faults)} faults in data")
            )
        for planned in plan:
            manifest = self.store.manifest(planned.config.id)
            if manifest is not None:
                self._check_manifest(planned, manifest, pending)

    def _check_manifest(
        self, planned: Planned, manifest: Manifest, pending: Sequence[Stage]
    ) -> None:
        config = planned.config
        if manifest.hash != config.hash:
            raise StoreError(
                f"{self.store.run_folder(config.id)}: its manifest has hash {manifest.hash}, "
                f"expected {config.hash}"
            )
        if manifest.data_digest and any(s.planned is planned for s in pending):
            digest = self.dataset(config.pretrain.dataset).digest
            if digest != manifest.data_digest and manifest.status == "failed":
                # Whatever it failed of may be mended; what it learnt from other data is not used.
                (self.store.run_folder(config.id) / "checkpoint.pt").unlink(missing_ok=True)
            elif digest != manifest.data_digest:
                raise DataError(
                    f"{config.pretrain.dataset.name}: the data changed since run {config.id} "
                    f"(digest {digest[:12]}, then {manifest.data_digest[:12]}). Restore the data, "
                    f"or remove {self.store.run_folder(config.id)}"
                )

    def dataset(self, spec: DatasetSpec) -> LabelledDataset:
        name = spec.model_dump_json()
        if name not in self._open:
            self._open[name] = open_dataset(spec, self.data_root, self.download)
        return self._open[name]

    def is_done(self, stage: Stage) -> bool:
        run = stage.planned.config.id
        manifest = self.store.manifest(run)
        if manifest is None or manifest.status != "done":
            return False
        if stage.key is None:
            return (self.store.run_folder(run) / "encoder.safetensors").exists()
        record = self.store.record(run, stage.planned.evaluations[stage.key].id)
        return (
            record is not None
            and record.status == "done"
            and record.encoder_digest == manifest.encoder_digest
        )

    def run(self, plan: Sequence[Planned]) -> Tally:
        """Every stage of the plan that has no record. Interrupted passes through."""
        todo = [stage for stage in stages(plan) if not self.is_done(stage)]
        self.tally.already = len(stages(plan)) - len(todo)
        failed: set[str] = set()
        features = FeatureStore()
        for number, stage in enumerate(todo, start=1):
            run = stage.planned.config.id
            if run in failed:
                continue
            if stage.key is None:
                features = FeatureStore()
            self.watcher.stage(stage.title, number, len(todo))
            failure = (
                self._pretrain(stage) if stage.key is None else self._evaluate(stage, features)
            )
            if failure is None:
                self.tally.done += 1
                continue
            self.tally.failures.append(f"{stage.title}: {failure.message}")
            if stage.key is None:
                failed.add(run)
            if self.fail_fast:
                break
        return self.tally

    def _pretrain(self, stage: Stage) -> Failure | None:
        planned, config = stage.planned, stage.planned.config
        folder = self.store.run_folder(config.id)
        began = time.monotonic()
        digest = ""

        def watch(progress: Progress) -> None:
            loss = "" if progress.loss is None else f", loss {progress.loss:.3f}"
            epoch = f"epoch {progress.epoch + 1}/{progress.epochs}{loss}"
            self.watcher.update(progress.step, progress.steps, epoch)

        try:
            dataset = self.dataset(config.pretrain.dataset)
            digest = dataset.digest
            method = self._method(planned, dataset)
            trained = pretrain(
                config,
                method,
                planned.data,
                dataset.images("train"),
                folder,
                device=self.device,
                workers=self.workers,
                on_progress=watch,
                stopped=self.stopped,
            )
        except (Interrupted, KeyboardInterrupt, StoreError):
            raise
        except Exception as error:
            failure = Failure.of(error)
            self._write_manifest(planned, digest, failure=failure)
            self.watcher.finished(f"{stage.title}: FAILED, {failure.message}")
            return failure
        self.store.write_manifest(
            self._manifest(planned, digest).model_copy(
                update={
                    "status": "done",
                    "encoder_digest": trained.encoder_digest,
                    "parameters": trained.parameters,
                    "steps": trained.steps,
                    "images_seen": trained.images_seen,
                    "seconds": round(trained.seconds, 3),
                    "peak_memory_gib": round(trained.peak_memory_gib, 3),
                    "losses": trained.losses,
                }
            )
        )
        seconds = time.monotonic() - began
        self.watcher.finished(f"{stage.title}: {trained.steps} steps in {seconds:.0f} s")
        return None

    def _method(self, planned: Planned, dataset: LabelledDataset) -> Method:
        config = planned.config
        encoder = build_encoder(config)
        seed_method(config)
        if config.method == "random":
            return Random(encoder, NoSettings(), planned.data)
        if config.method == "supervised":
            labels = torch.from_numpy(dataset.labels("train"))[:, 0]
            classes = dataset.spec.levels[0].classes
            return Supervised(encoder, NoSettings(), planned.data, labels, classes)
        cls = methods.get(config.method)
        params = build(cls.Config, config.params, f"{planned.label}: params")
        return cls(encoder, params, planned.data)

    def _manifest(self, planned: Planned, digest: str) -> Manifest:
        config = planned.config
        return Manifest(
            run=config.id,
            hash=config.hash,
            config=config.model_dump(mode="json"),
            status="failed",
            data_digest=digest,
            environment=self.environment,
            created=now(),
        )

    def _write_manifest(self, planned: Planned, digest: str, failure: Failure) -> None:
        manifest = self._manifest(planned, digest).model_copy(update={"failure": failure})
        self.store.write_manifest(manifest)

    def _evaluate(self, stage: Stage, features: FeatureStore) -> Failure | None:
        planned, config = stage.planned, stage.planned.config
        assert stage.key is not None
        wanted = planned.evaluations[stage.key]
        began = time.monotonic()

        def watch(done: int, total: int) -> None:
            self.watcher.update(done, total, "")
            if self.stopped():
                raise Interrupted("interrupted; the same command goes on from here")

        record: Record
        try:
            manifest = self.store.manifest(config.id)
            assert manifest is not None
            encoder, artifacts = self._trained(planned, manifest)
            record = evaluate(
                wanted,
                encoder,
                artifacts,
                self.dataset(wanted.dataset),
                run=config.id,
                seed=config.seed,
                store=self.store,
                features=features,
                device=self.device,
                environment=self.environment,
                workers=self.workers,
                on_progress=watch,
            )
        except (Interrupted, KeyboardInterrupt, StoreError):
            raise
        except SSLBenchError as error:  # a data set that cannot be opened, say
            record = Record(
                run=config.id,
                evaluation=wanted.evaluation,
                dataset=wanted.dataset.name,
                identity=wanted.hash,
                status="failed",
                reason=str(error),
                failure=Failure.of(error),
                created=now(),
            )
        self.store.write_record(wanted.id, record)
        if record.failure is not None:
            self.watcher.finished(f"{stage.title}: FAILED, {record.failure.message}")
            return record.failure
        score = record.scores[record.headline]
        self.watcher.finished(
            f"{stage.title}: {record.headline} {score.value:.1f}{score.unit} "
            f"in {time.monotonic() - began:.0f} s"
        )
        return None

    def _trained(self, planned: Planned, manifest: Manifest) -> tuple[Encoder, dict[str, Tensor]]:
        folder = self.store.run_folder(planned.config.id)
        encoder = Encoder(planned.config.encoder)
        encoder.load_state_dict(
            import_tensors(folder / "encoder.safetensors", manifest.encoder_digest)
        )
        artifacts: dict[str, Tensor] = {}
        if (folder / "artifacts.safetensors").exists():
            artifacts = import_tensors(folder / "artifacts.safetensors")
        return encoder, artifacts
