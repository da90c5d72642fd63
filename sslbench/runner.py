"""Walks a plan: does what has no record yet, skips what has, records what fails and goes on."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from sslbench import distributed
from sslbench.api import DataInfo, Method
from sslbench.data.datasets import LabelledDataset
from sslbench.errors import DataError, Diverged, Interrupted, StoreError, UnwritableError
from sslbench.examine import Examination, Examiner, Tally, Watcher
from sslbench.health.verdict import judge_failure
from sslbench.nn.shared import synchronised
from sslbench.orders import Pretrain
from sslbench.plan import Planned
from sslbench.sharing import in_turn
from sslbench.stages import Stage, specs, stages
from sslbench.store import Failure, Manifest, Store, now
from sslbench.train.baselines import NoSettings, Random, Supervised
from sslbench.train.build import build_method, encoder_of_method
from sslbench.train.fitting import batch_that_fits, may_be_out_of_memory
from sslbench.train.loop import pretrain
from sslbench.train.outcome import Progress, Trained, learnt_from, run_checkpoints


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
            if digest != manifest.data_digest and manifest.status != "failed":
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
        began = now()
        turns = in_turn(
            self.store,
            todo,
            lambda stage: stage.planned.config.id,
            stopped=self.stopped,
            waiting=self.watcher.finished,
        )
        for number, stage in enumerate(turns, start=1):
            run = stage.planned.config.id
            if run in failed:
                continue
            if self.is_done(stage):  # by another process, since
                self.tally.already += 1
                continue
            self.watcher.stage(stage.title, number, len(todo))
            failure = self._failure_since(stage, began)
            if failure is None:
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

    def _failure_since(self, stage: Stage, began: str) -> Failure | None:
        """What another process has met with meanwhile: it is not tried again in the same call."""
        run = stage.planned.config.id
        if stage.key is not None:
            return self.examiner.failure_since(run, stage.planned.evaluations[stage.key], began)
        manifest = self.store.manifest(run)
        return manifest.failure if manifest is not None and manifest.created > began else None

    def _pretrain(self, stage: Stage) -> Failure | None:
        planned = stage.planned
        began = time.monotonic()
        facts: dict[str, Any] = {}
        denied = False
        try:
            dataset = self.examiner.dataset(planned.config.pretrain.dataset)
            facts["data_digest"] = dataset.digest
            self._drop_of_failed(planned, dataset.digest)
            distributed.tell(Pretrain(planned.config.id))
            facts |= _facts(self.trained(planned, dataset))
        except (Interrupted, KeyboardInterrupt, UnwritableError):
            raise
        except Exception as error:
            if distributed.size() > 1 and not isinstance(error, Diverged):
                raise distributed.failed(error) from error  # where the others are, is unknown
            facts |= {"failure": Failure.of(error), "health": judge_failure(error)}
            denied = may_be_out_of_memory(error)
        if denied:  # behind the handler: the error's traceback holds all that was allocated
            facts["failure"] = self._advised(planned, dataset, facts["failure"])
        manifest = self._manifest(planned).model_copy(update=facts)
        self.store.write_manifest(manifest)
        if manifest.failure is not None:
            self.watcher.finished(f"{stage.title}: FAILED, {manifest.failure.message}")
            return manifest.failure
        assert manifest.health is not None
        seconds = time.monotonic() - began
        self.watcher.finished(
            f"{stage.title}: {manifest.steps} steps in {seconds:.0f} s, {manifest.health.verdict}"
        )
        return None

    def _drop_of_failed(self, planned: Planned, digest: str) -> None:
        """What a failed run learnt from data that was changed since, as to mend what it failed of.

        What was learnt from the changed data, before an interrupt, stays.
        """
        config = planned.config
        manifest = self.store.manifest(config.id)
        if manifest is None or manifest.status != "failed" or manifest.data_digest in ("", digest):
            return
        checkpoints = run_checkpoints(self.store.run_folder(config.id), config.hash)
        with suppress(StoreError):  # which the training will tell
            state = checkpoints.load(mmap=True)
            if state is not None and learnt_from(state, manifest.data_digest):
                checkpoints.remove()

    def trained(self, planned: Planned, dataset: LabelledDataset) -> Trained:
        def watch(progress: Progress) -> None:
            loss = "" if progress.loss is None else f", loss {progress.loss:.3f}"
            epoch = f"epoch {progress.epoch + 1}/{progress.epochs}{loss}"
            self.watcher.update(progress.step, progress.steps, epoch)

        distributed.check_alike(f"images of {dataset.spec.name}", dataset.digest)
        return pretrain(
            planned.config,
            synchronised(self._method(planned, dataset, planned.data)),
            planned.data,
            dataset.images("train"),
            self.store.run_folder(planned.config.id),
            data_digest=dataset.digest,
            device=self.device,
            workers=self.workers,
            tracker=self.tracker,
            on_progress=watch,
            stopped=self.stopped,
        )

    def _advised(self, planned: Planned, dataset: LabelledDataset, failure: Failure) -> Failure:
        """A failure that may be for want of memory, which it was if a smaller batch fits."""
        self.watcher.update(0, 1, "out of memory; trying smaller batches")
        fits = batch_that_fits(
            planned.config,
            planned.data,
            dataset.images("train"),
            lambda data: self._method(planned, dataset, data),
            self.device,
        )
        message = f"{failure.message}; no smaller batch was found to fit"
        if fits is not None:
            message = (
                f"out of memory with batch {planned.data.batch_size}; a step of batch {fits} fits "
                f"here: --set pretrain.batch_size={fits} ({failure.message})"
            )
        return failure.model_copy(update={"message": message})

    def _method(self, planned: Planned, dataset: LabelledDataset, data: DataInfo) -> Method:
        config = planned.config
        if config.method == "random":
            return Random(encoder_of_method(config), NoSettings(), data)
        if config.method == "supervised":
            encoder = encoder_of_method(config)
            labels = torch.from_numpy(dataset.labels("train"))[:, 0]
            classes = dataset.spec.levels[0].classes
            return Supervised(encoder, NoSettings(), data, labels, classes)
        return build_method(config, data, planned.label)

    def _manifest(self, planned: Planned) -> Manifest:
        """Of a run of which nothing is known yet."""
        config = planned.config
        return Manifest(
            run=config.id,
            hash=config.hash,
            config=config.model_dump(mode="json"),
            status="failed",
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


def _facts(trained: Trained) -> dict[str, Any]:
    """What a manifest says of a finished pre-training."""
    return {
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
