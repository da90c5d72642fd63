"""Walks a plan: does what has no record yet, skips what has, records what fails and goes on."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from sslbench.api import Method
from sslbench.data.datasets import LabelledDataset
from sslbench.errors import DataError, Interrupted, StoreError, UnwritableError
from sslbench.examine import Examination, Examiner, Tally, Watcher
from sslbench.health.verdict import judge_failure
from sslbench.plan import Planned
from sslbench.stages import Stage, specs, stages
from sslbench.store import Failure, Manifest, Store, now
from sslbench.train.baselines import NoSettings, Random, Supervised
from sslbench.train.build import build_method, encoder_of_method
from sslbench.train.loop import Progress, pretrain


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
        tracker: str | None = None,
    ) -> None:
        self.store, self.device, self.workers = store, device, workers
        self.watcher, self.stopped, self.fail_fast = watcher, stopped, fail_fast
        self.tracker = tracker
        self.examiner = Examiner(
            store,
            data_root=data_root,
            download=download,
            device=device,
            workers=workers,
            watcher=watcher,
            stopped=stopped,
        )
        self.tally = Tally()

    def check(self, plan: Sequence[Planned]) -> None:
        """Raises one error with all faults of data sets, results folder and changed data."""
        pending = [stage for stage in stages(plan) if not self.is_done(stage)]
        self.examiner.check(specs(pending))
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
            digest = self.examiner.dataset(config.pretrain.dataset).digest
            if digest != manifest.data_digest and manifest.status == "failed":
                # Whatever it failed of may be mended; what it learnt from other data is not used.
                (self.store.run_folder(config.id) / "checkpoint.pt").unlink(missing_ok=True)
            elif digest != manifest.data_digest:
                raise DataError(
                    f"{config.pretrain.dataset.name}: the data changed since run {config.id} "
                    f"(digest {digest[:12]}, then {manifest.data_digest[:12]}). Restore the data, "
                    f"or remove {self.store.run_folder(config.id)}"
                )

    def is_done(self, stage: Stage) -> bool:
        run = stage.planned.config.id
        if stage.key is not None:
            return self.examiner.is_done(run, stage.planned.evaluations[stage.key])
        manifest = self.store.manifest(run)
        if manifest is None or manifest.status != "done":
            return False
        return (self.store.run_folder(run) / "encoder.safetensors").exists()

    def run(self, plan: Sequence[Planned]) -> Tally:
        """Every stage of the plan that has no record. Interrupted passes through."""
        todo = [stage for stage in stages(plan) if not self.is_done(stage)]
        self.tally.already = len(stages(plan)) - len(todo)
        failed: set[str] = set()
        for number, stage in enumerate(todo, start=1):
            run = stage.planned.config.id
            if run in failed:
                continue
            self.watcher.stage(stage.title, number, len(todo))
            failure = self._pretrain(stage) if stage.key is None else self._evaluate(stage)
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
            dataset = self.examiner.dataset(config.pretrain.dataset)
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
                tracker=self.tracker,
                on_progress=watch,
                stopped=self.stopped,
            )
        except (Interrupted, KeyboardInterrupt, UnwritableError):
            raise
        except Exception as error:
            failure = Failure.of(error)
            changes = {"failure": failure, "health": judge_failure(error)}
            self.store.write_manifest(self._manifest(planned, digest).model_copy(update=changes))
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
                    "health": trained.health,
                }
            )
        )
        seconds = time.monotonic() - began
        self.watcher.finished(
            f"{stage.title}: {trained.steps} steps in {seconds:.0f} s, {trained.health.verdict}"
        )
        return None

    def _method(self, planned: Planned, dataset: LabelledDataset) -> Method:
        config = planned.config
        if config.method == "random":
            return Random(encoder_of_method(config), NoSettings(), planned.data)
        if config.method == "supervised":
            encoder = encoder_of_method(config)
            labels = torch.from_numpy(dataset.labels("train"))[:, 0]
            classes = dataset.spec.levels[0].classes
            return Supervised(encoder, NoSettings(), planned.data, labels, classes)
        return build_method(config, planned.data, planned.label)

    def _manifest(self, planned: Planned, digest: str) -> Manifest:
        config = planned.config
        return Manifest(
            run=config.id,
            hash=config.hash,
            config=config.model_dump(mode="json"),
            status="failed",
            data_digest=digest,
            environment=self.examiner.environment,
            created=now(),
        )

    def _evaluate(self, stage: Stage) -> Failure | None:
        config = stage.planned.config
        assert stage.key is not None
        wanted = stage.planned.evaluations[stage.key]
        return self.examiner.examine(
            Examination(stage.title, config.id, config.seed, config.encoder, wanted)
        )
