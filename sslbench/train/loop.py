"""The one training loop. It sees images, never labels, and ends with the last epoch's encoder.

Exact resume by construction: views, order and a method's draws depend on (seed, epoch, step) only,
so a checkpoint holds weights, optimiser and position, and a resumed run computes what an
uninterrupted one would have.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm as total_norm

from sslbench import distributed
from sslbench.api.method import DataInfo, Method
from sslbench.data.images import ImageSet
from sslbench.data.loaders import ViewLoader, embed_batches
from sslbench.errors import DataError, Diverged, Interrupted
from sslbench.health.checkup import Checkup
from sslbench.health.course import Course
from sslbench.health.measure import Probe, looked_at
from sslbench.memory import PeakMemory
from sslbench.nn.bank import whole_bytes, whole_state
from sslbench.run import RunConfig
from sslbench.train import generators
from sslbench.train.clock import Clock
from sslbench.train.context import TrainingContext
from sslbench.train.export import export_tensors
from sslbench.train.log import TrainLog
from sslbench.train.outcome import Progress, Trained, learnt_from, run_checkpoints
from sslbench.train.readings import READ_STEPS, Readings
from sslbench.train.step import Step
from sslbench.train.tracker import FOLDER, Events

CHECKPOINT_SECONDS = 300.0  # and at the end of each epoch
EMBED_BATCH = 512


def pretrain(
    config: RunConfig,
    method: Method,
    data: DataInfo,
    images: ImageSet,
    folder: Path,
    *,
    data_digest: str = "",
    device: torch.device,
    workers: int = 0,
    tracker: str | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    stopped: Callable[[], bool] = lambda: False,
    clock: Clock = Clock(),  # noqa: B008 (it holds nothing)
) -> Trained:
    """Trains ``method`` to its last epoch and exports encoder and artifacts into ``folder``.

    Goes on from the newest whole checkpoint of ``folder`` if there is one, and raises DataError if
    that is of other data than ``data_digest``. With a ``tracker`` that
    ``check_tracker`` knows, what goes to the log goes to ``folder/events``, too. Raises Diverged,
    with its step, when a loss, gradient, weight, feature or artifact is no longer finite,
    UnwritableError when there is no room for checkpoints, before the first step if it can be told,
    and Interrupted, after a checkpoint, when ``stopped`` says so.
    """
    first = distributed.is_first()  # the other ranks write nothing
    events = Events(folder / FOLDER) if tracker is not None and first else None
    log = TrainLog(folder / "train.jsonl", events)
    trainer = _Trainer(
        config, method, data, images, folder, data_digest, device, workers, clock, log
    )
    try:
        with PeakMemory(device) as memory, distributed.shared_batches():
            trainer.resume()
            trainer.train(on_progress, stopped)
        return trainer.export(memory.gib)
    except Diverged as error:
        error.step = error.step or trainer.step
        raise
    except Exception as error:
        error.add_note(f"in step {trainer.step + 1} of {data.steps}")
        raise
    finally:
        log.close()


class _Trainer:
    def __init__(
        self,
        config: RunConfig,
        method: Method,
        data: DataInfo,
        images: ImageSet,
        folder: Path,
        data_digest: str,
        device: torch.device,
        workers: int,
        clock: Clock,
        log: TrainLog,
    ) -> None:
        pretrain = config.pretrain
        self.config, self.data, self.folder, self.device = config, data, folder, device
        self.method, self.clock, self.log = method, clock, log
        self.data_digest = data_digest
        self.checkpoints = run_checkpoints(folder, config.hash)
        self.update = Step(method, pretrain, data, device)
        self.loader = ViewLoader(
            images,
            pretrain.augment,
            pretrain.views,
            pretrain.image_size,
            pretrain.batch_size,
            config.seed,
            device=device,
            workers=workers,
            path=pretrain.views_path,
            arrived=lambda: clock.lap("images"),
            share=distributed.share(pretrain.batch_size),
        )
        every = torch.split(torch.arange(len(images)), EMBED_BATCH)
        parts = distributed.parts(len(every))
        mine = parts[distributed.rank()]

        def centre_views() -> Iterator[Tensor]:
            # The loader's images: where it holds them, nothing is decoded again.
            held = self.loader.images
            for batch in embed_batches(
                held,
                pretrain.image_size,
                EMBED_BATCH,
                device=device,
                workers=workers,
                batches=mine,
            ):
                yield self.update.placed(batch)

        self.context = TrainingContext(
            config.seed,
            data,
            device,
            method,
            centre_views,
            self.update.autocast,
            [sum(map(len, every[part])) for part in parts],
        )
        probe = Probe(
            self.loader, pretrain, config.seed, looked_at(data), workers, self.update.placed
        )
        course = Course(float(total_norm(self.update.trained)), data.steps)
        self.checkup = Checkup(method, probe, course)
        self.step = 0  # of the whole run; the next one to do
        self.seconds = 0.0  # of earlier sessions
        self.epoch_started = -1
        self.readings = Readings(self.checkup)

    # ---- position -----------------------------------------------------------------------------

    def resume(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        state = self.checkpoints.load()  # not on the device: a rank needs a part of each bank
        if state is not None:
            if not learnt_from(state, self.data_digest):
                raise DataError(
                    f"{self.checkpoints.path}: of data with digest {state['data'][:12]}, not "
                    f"{self.data_digest[:12]}. Restore the data, or remove it to begin anew"
                )
            self.method.load_state_dict(state["method"])
            self.update.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = state["step"], state["seconds"]
            self.epoch_started, self.context.logged = state["epoch_started"], state["logged"]
            self.checkup.restore(state["health"])
            self.readings.restore(state["readings"], self.device)
            generators.restore(state["generators"], self.device, self.config.seed)
        else:
            generators.begin(self.config.seed)
            self.checkup.begin()
        distributed.check_alike("checkpoints", f"of step {self.step}")
        if not distributed.is_first():
            return
        self.log.cut(self.step)
        adam = 2 * sum(tensor.nbytes for tensor in self.update.trained)
        self.checkpoints.check_room(whole_bytes(self.method) + adam)

    def save(self, began: float) -> None:
        """A checkpoint; raises Diverged rather than keep what cannot go on."""
        readings, method = self.readings.state(), whole_state(self.method)
        drawn = generators.states(self.device)
        if not distributed.is_first():
            return
        state: dict[str, Any] = {
            "data": self.data_digest,
            "method": method,
            "optimizer": self.update.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds + time.monotonic() - began,
            "epoch_started": self.epoch_started,
            "logged": self.logged(),
            "readings": readings,
            "health": self.checkup.state(),
            "generators": drawn,
        }
        self.checkpoints.save(state)

    # ---- training -----------------------------------------------------------------------------

    def train(self, on_progress: Callable[[Progress], None], stopped: Callable[[], bool]) -> None:
        began = saved = time.monotonic()
        per_epoch = self.data.steps_per_epoch
        self.method.train()
        while self.step < self.data.steps:
            epoch, first = divmod(self.step, per_epoch)
            self.clock.lap("rest")
            if self.epoch_started < epoch:
                self.context.begin("epoch", epoch, self.step)
                self.method.on_epoch_start(self.context)
                self.epoch_started = epoch
                self.clock.lap("clustering")
            for views, index in self.loader.epoch(epoch, start_step=first):
                values = self.update(views, index, self.context, epoch, self.step, self.clock)
                if not self.readings.go_with(values):
                    self.read(epoch, began)
                self.readings.add(self.step, values)
                self.step += 1
                done = self.step % per_epoch == 0
                if done or self.readings.full:
                    self.read(epoch, began)
                    signals = self.checkup.measure(epoch) if done else None
                    if signals:
                        self.write(epoch, began, {"health": signals})
                on_progress(self.progress(epoch))
                if self.agreed(stopped(), done):
                    self.save(began)
                    raise Interrupted(
                        f"interrupted at step {self.step} of {self.data.steps}; the same "
                        "command goes on from there"
                    )
                if done:
                    break
                if self.agreed(time.monotonic() - saved > CHECKPOINT_SECONDS, done):
                    self.save(began)
                    saved = time.monotonic()
                self.clock.lap("rest")
            self.save(began)
            saved = time.monotonic()
            self.clock.lap("rest")
        self.seconds += time.monotonic() - began

    def agreed(self, wished: bool, done: bool) -> bool:
        """All ranks do it behind the same step, so they ask one another now and then."""
        if distributed.size() == 1:
            return wished
        return (done or self.step % READ_STEPS == 0) and distributed.any_rank(wished)

    def read(self, epoch: int, began: float) -> None:
        """A line of the log for the steps since the last; raises Diverged at the first bad one."""
        self.write(epoch, began, {**self.readings.read(), **self.logged()})

    def logged(self) -> dict[str, float]:
        """What the method wants to be seen, as it said last."""
        return {name: float(value) for name, value in self.context.logged.items()}

    def write(self, epoch: int, began: float, values: dict[str, Any]) -> None:
        if not distributed.is_first():
            return
        seconds = round(self.seconds + time.monotonic() - began, 3)
        self.log.write({"step": self.step, "epoch": epoch, "seconds": seconds, **values})

    def progress(self, epoch: int) -> Progress:
        loss = self.readings.losses.get("loss")
        return Progress(self.step, self.data.steps, epoch, self.data.epochs, loss)

    # ---- the end ------------------------------------------------------------------------------

    def export(self, peak_memory_gib: float) -> Trained:
        encoder = self.method.evaluated_encoder()
        weights = {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in encoder.state_dict().items()
        }
        artifacts = self.method.artifacts()

        def files() -> str:
            if artifacts:
                export_tensors(self.folder / "artifacts.safetensors", artifacts)
            return export_tensors(self.folder / "encoder.safetensors", weights)

        digest = distributed.by_first(files)
        return Trained(
            encoder_digest=digest,
            parameters=sum(p.numel() for p in encoder.parameters()),
            steps=self.step,
            images_seen=self.step * self.data.batch_size,
            seconds=self.seconds,
            peak_memory_gib=peak_memory_gib,
            losses=self.readings.losses,
            health=self.checkup.verdict(),
        )
