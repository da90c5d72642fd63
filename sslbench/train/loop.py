"""The one training loop. It sees images, never labels, and ends with the last epoch's encoder.

Exact resume by construction: views, order and a method's draws depend on (seed, epoch, step) only,
so a checkpoint holds weights, optimiser and position, and a resumed run computes what an
uninterrupted one would have.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sslbench.api.method import Batch, DataInfo, Method
from sslbench.data.images import ImageSet
from sslbench.data.loaders import ViewLoader, embed_batches
from sslbench.data.random import derive_seed
from sslbench.errors import Diverged, Interrupted
from sslbench.nn.encoder import Encoder
from sslbench.run import RunConfig
from sslbench.train.checkpoint import export_tensors, load_checkpoint, save_checkpoint
from sslbench.train.context import TrainingContext
from sslbench.train.memory import PeakMemory
from sslbench.train.optim import build_optimizer, set_lr

LOG_STEPS = 20  # losses are read from the device once per so many steps
CHECKPOINT_SECONDS = 300.0
EMBED_BATCH = 512


@dataclass(frozen=True)
class Progress:
    """Where the loop is, after each step."""

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float | None


@dataclass(frozen=True)
class Trained:
    """What a finished pre-training leaves beside its files."""

    encoder_digest: str
    parameters: int
    steps: int
    images_seen: int
    seconds: float
    peak_memory_gib: float
    losses: dict[str, float]


def build_encoder(config: RunConfig) -> Encoder:
    """The encoder as every method of a suite and seed starts from it."""
    torch.manual_seed(derive_seed(config.seed, "encoder"))
    return Encoder(config.encoder)


def seed_method(config: RunConfig) -> None:
    """Called before a method builds its heads and queues."""
    torch.manual_seed(derive_seed(config.seed, "method"))


def pretrain(
    config: RunConfig,
    method: Method,
    data: DataInfo,
    images: ImageSet,
    folder: Path,
    *,
    device: torch.device,
    workers: int = 0,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Trained:
    """Trains ``method`` to its last epoch and exports encoder and artifacts into ``folder``.

    Goes on from ``folder/checkpoint.pt`` if there is one. Raises Diverged when a loss is no longer
    finite, and Interrupted, after a checkpoint, when ``stopped`` says so.
    """
    trainer = _Trainer(config, method, data, images, folder, device, workers)
    with PeakMemory(device) as memory:
        trainer.resume()
        trainer.train(on_progress, stopped)
    return trainer.export(memory.gib)


class _Trainer:
    def __init__(
        self,
        config: RunConfig,
        method: Method,
        data: DataInfo,
        images: ImageSet,
        folder: Path,
        device: torch.device,
        workers: int,
    ) -> None:
        pretrain = config.pretrain
        self.config, self.data, self.folder, self.device = config, data, folder, device
        self.dtype = torch.float64 if pretrain.precision == "fp64" else torch.float32
        self.method = method.to(device).to(memory_format=torch.channels_last)
        if pretrain.precision == "fp64":
            self.method = self.method.double()
        self.optimizer = build_optimizer(method.param_groups(), pretrain.optim, data.batch_size)
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
        )

        def centre_views() -> Iterator[Tensor]:
            # The loader's images: where it holds them, nothing is decoded again.
            held = self.loader.images
            for batch in embed_batches(
                held, pretrain.image_size, EMBED_BATCH, device=device, workers=workers
            ):
                yield self.placed(batch)

        self.context = TrainingContext(
            config.seed, data, device, method, centre_views, self.autocast
        )
        self.step = 0  # of the whole run; the next one to do
        self.seconds = 0.0  # of earlier sessions
        self.epoch_started = -1
        self.losses: dict[str, float] = {}
        self.pending: list[tuple[int, dict[str, Tensor]]] = []
        self.log_path = folder / "train.jsonl"

    def autocast(self) -> torch.autocast:
        enabled = self.config.pretrain.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def placed(self, view: Tensor) -> Tensor:
        view = view.to(self.device, self.dtype)
        return view.contiguous(memory_format=torch.channels_last) if view.ndim == 4 else view

    # ---- position -----------------------------------------------------------------------------

    def resume(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        state = load_checkpoint(self.folder / "checkpoint.pt", self.config.hash, self.device)
        if state is not None:
            self.method.load_state_dict(state["method"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = state["step"], state["seconds"]
            self.epoch_started, self.losses = state["epoch_started"], state["losses"]
            torch.set_rng_state(state["rng"].cpu())  # for dropout and drop path inside encoders
        else:
            torch.manual_seed(derive_seed(self.config.seed, "training"))
        kept = [line for line in _lines(self.log_path) if json.loads(line)["step"] <= self.step]
        self.log_path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def save(self, began: float) -> None:
        state: dict[str, Any] = {
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds + time.monotonic() - began,
            "epoch_started": self.epoch_started,
            "losses": self.losses,
            "rng": torch.get_rng_state(),
        }
        save_checkpoint(self.folder / "checkpoint.pt", self.config.hash, state)

    # ---- training -----------------------------------------------------------------------------

    def train(self, on_progress: Callable[[Progress], None], stopped: Callable[[], bool]) -> None:
        began = saved = time.monotonic()
        per_epoch = self.data.steps_per_epoch
        self.method.train()
        while self.step < self.data.steps:
            epoch, first = divmod(self.step, per_epoch)
            if self.epoch_started < epoch:
                self.context.begin("epoch", epoch, self.step)
                self.method.on_epoch_start(self.context)
                self.epoch_started = epoch
            for views, index in self.loader.epoch(epoch, start_step=first):
                placed = tuple(map(self.placed, views))
                terms = self.one_step(Batch(placed, index.to(self.device)), epoch)
                if self.pending and set(self.pending[0][1]) != set(terms):
                    self.read_losses(epoch, began)  # a mean is over steps with the same terms
                self.pending.append((self.step, terms))
                self.step += 1
                done = self.step % per_epoch == 0
                if done or len(self.pending) >= LOG_STEPS:
                    self.read_losses(epoch, began)
                on_progress(self.progress(epoch))
                if stopped():
                    self.read_losses(epoch, began)
                    self.save(began)
                    raise Interrupted(
                        f"interrupted at step {self.step} of {self.data.steps}; the same "
                        "command goes on from there"
                    )
                if done:
                    break
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    self.read_losses(epoch, began)
                    self.save(began)
                    saved = time.monotonic()
            self.save(began)
            saved = time.monotonic()
        self.seconds += time.monotonic() - began

    def one_step(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """One update; the detached terms and their sum, still on the device."""
        optim = self.config.pretrain.optim
        data = self.data
        lr = set_lr(
            self.optimizer, optim, data.batch_size, self.step, data.steps_per_epoch, data.epochs
        )
        self.context.begin("step", epoch, self.step)
        with self.autocast():
            terms = self.method.loss(batch, self.context)
        loss = torch.stack(list(terms.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if optim.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.method.parameters(), optim.clip)
        self.optimizer.step()
        self.method.on_step_end(self.context)
        self.context.log("lr", lr)
        return {"loss": loss.detach(), **{name: term.detach() for name, term in terms.items()}}

    def read_losses(self, epoch: int, began: float) -> None:
        """One transfer for all steps since the last; raises Diverged at the first bad one."""
        if not self.pending:
            return
        names = list(self.pending[0][1])
        rows = torch.stack(
            [torch.stack([terms[name].float() for name in names]) for _, terms in self.pending]
        ).tolist()
        for (step, _), row in zip(self.pending, rows, strict=True):
            bad = [n for n, v in zip(names, row, strict=True) if v != v or abs(v) == float("inf")]
            if bad:
                last = ", ".join(f"{k} {v:.4g}" for k, v in self.losses.items())
                raise Diverged(
                    f"diverged at step {step + 1} of {self.data.steps}: {', '.join(bad)} not "
                    f"finite; last finite means: {last or 'none'}"
                )
        means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        self.losses = dict(zip(names, means, strict=True))
        logged = {name: float(value) for name, value in self.context.logged.items()}
        line = {
            "step": self.step,
            "epoch": epoch,
            "seconds": round(self.seconds + time.monotonic() - began, 3),
            **self.losses,
            **logged,
        }
        with self.log_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.pending.clear()

    def progress(self, epoch: int) -> Progress:
        loss = self.losses.get("loss")
        return Progress(self.step, self.data.steps, epoch, self.data.epochs, loss)

    # ---- the end ------------------------------------------------------------------------------

    def export(self, peak_memory_gib: float) -> Trained:
        encoder = self.method.evaluated_encoder().float()
        digest = export_tensors(self.folder / "encoder.safetensors", encoder.state_dict())
        artifacts = self.method.artifacts()
        if artifacts:
            export_tensors(self.folder / "artifacts.safetensors", artifacts)
        return Trained(
            encoder_digest=digest,
            parameters=sum(p.numel() for p in encoder.parameters()),
            steps=self.step,
            images_seen=self.step * self.data.batch_size,
            seconds=self.seconds,
            peak_memory_gib=peak_memory_gib,
            losses=self.losses,
        )


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    complete = path.read_text(encoding="utf-8").split("\n")[:-1]  # a torn last line has no end
    return [line for line in complete if line]
