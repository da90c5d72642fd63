"""Training of a whole network on labels: an encoder, and a linear layer on what it says.

As semi-supervised learning is measured since SimCLR (arXiv:2002.05709, appendix B.5): SGD with
momentum on new views of the images, with a rate for the encoder and one for the layer. Batch
statistics are those of the whole batch, as the papers synchronise them over their devices, however
the encoder was pre-trained. The last epoch is measured.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sslbench.config import Settings
from sslbench.errors import Diverged
from sslbench.nn.encoder import Encoder
from sslbench.nn.linear_training import ViewBatches
from sslbench.nn.resuming import Lender, Steps
from sslbench.nn.schedule import Schedule


class FineTuningConfig(Settings):
    """The defaults are SimCLR's, for a batch of 256."""

    lr: float = Field(0.05, gt=0)  # of the encoder
    head_lr: float = Field(0.05, gt=0)
    epochs: int = Field(30, ge=1)  # of full batches
    batch_size: int = Field(256, ge=2)  # batch norm has no statistics of one
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = True
    weight_decay: float = Field(0.0, ge=0)  # of all but biases and norms
    start_std: float = Field(0.0, ge=0)  # of the head's first weights
    schedule: Literal["cosine", "step"] = "cosine"
    milestones: tuple[float, ...] = ()  # of "step", as fractions of the run
    factor: float = Field(0.1, gt=0, lt=1)  # by which rates are multiplied at each of them

    @model_validator(mode="after")
    def _fields_go_together(self) -> "FineTuningConfig":
        if (self.schedule == "step") != bool(self.milestones):
            raise ValueError("schedule: step needs milestones, and only it has them")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: true needs a momentum above 0")
        return self


class Classifier(nn.Module):
    """N x 3 x H x W in [0, 1] -> N x classes."""

    def __init__(self, encoder: Encoder, classes: int, start_std: float, seed: int) -> None:
        """Where the encoder is; ``seed`` is of the head's first weights, its biases are 0."""
        super().__init__()
        self.encoder = encoder
        drawn = torch.randn(classes, encoder.dim, generator=torch.Generator().manual_seed(seed))
        self.head: nn.Linear = nn.utils.skip_init(  # type: ignore[no-untyped-call]
            nn.Linear, encoder.dim, classes
        )
        self.head.weight.data.copy_(drawn * start_std)
        self.head.bias.data.zero_()
        self.head.to(encoder.mean.device)

    def forward(self, images: Tensor) -> Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        # Not by way of Encoder.forward, which may split the batch.
        features = self.encoder.network(self.encoder.normalized(images))
        logits: Tensor = self.head(features)
        return logits


class FineTuning:
    """One training. Stopped and resumed equals never stopped."""

    def __init__(
        self,
        encoder: Encoder,
        classes: int,
        views: ViewBatches,
        labels: Tensor,
        config: FineTuningConfig,
        seed: int,
    ) -> None:
        """``labels``: N, of the images that ``views`` are of. ``seed``: of all but the views."""
        self.classifier = Classifier(encoder, classes, config.start_std, seed)
        self.views, self.labels, self.config, self.seed = views, labels, config, seed
        self.done, self.loss = 0, math.nan  # the loss is the last step's
        self.optimizer = torch.optim.SGD(
            _groups(self.classifier, config),
            momentum=config.momentum,
            nesterov=config.nesterov,
            fused=True,
        )
        steps = config.epochs * views.steps_per_epoch
        self.schedule = Schedule(steps, config.schedule, config.milestones, config.factor)

    def run(self, lender: Lender) -> None:
        """All steps, from the checkpoint on if there is one. Raises Diverged."""
        saved = lender.checkpoint.load()
        if saved is not None:
            self.load(saved)
        steps = Steps(lender, self.state)
        self.classifier.train()
        devices = [self.labels.device] if self.labels.is_cuda else []
        with torch.random.fork_rng(devices):
            for images, index in self._batches():
                # Some networks drop paths or units, by the global generator.
                torch.manual_seed(self.seed + self.done)
                self._step(images, self.labels[index])
                steps.tell(self.done, self.schedule.steps)
        steps.save()

    def ranked(self, images: Iterable[Tensor], ranks: int, lender: Lender) -> Tensor:
        """The best classes of every image, best first: N x ranks, on the CPU. Raises Diverged."""
        self.classifier.eval()
        found = []
        for batch in images:
            with torch.no_grad():
                logits = self.classifier(batch)
            if not logits.isfinite().all():
                raise Diverged(f"fine-tuning: answers are not finite. {self._remedy}")
            best = logits.sort(dim=1, descending=True, stable=True).indices[:, :ranks]
            found.append(best.cpu())
            lender.progress(self.done, self.done)  # so that it can be stopped here too
        return torch.cat(found)

    def state(self) -> dict[str, Any]:
        """All that ``run`` changes."""
        return {
            "done": self.done,
            "loss": self.loss,
            "classifier": self.classifier.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from what ``state`` gave."""
        self.done, self.loss = state["done"], state["loss"]
        self.classifier.load_state_dict(state["classifier"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and their positions, of the rest of the steps."""
        first, seen = divmod(self.done, self.views.steps_per_epoch)
        for epoch in range(first, self.config.epochs):
            for (images,), index in self.views.epoch(epoch, seen if epoch == first else 0):
                yield images, index

    def _step(self, images: Tensor, labels: Tensor) -> None:
        share = self.schedule.share(self.done)
        for group in self.optimizer.param_groups:
            group["lr"] = share * group["peak"]
        loss = cross_entropy(self.classifier(images), labels)
        self.loss = loss.item()
        if not math.isfinite(self.loss):
            raise Diverged(
                f"fine-tuning: the loss of step {self.done + 1} of {self.schedule.steps} is "
                f"{self.loss}. {self._remedy}"
            )
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.done += 1

    @property
    def _remedy(self) -> str:
        return f"Lower lr (now {self.config.lr:g}) or head_lr (now {self.config.head_lr:g})"


def _groups(classifier: Classifier, config: FineTuningConfig) -> list[dict[str, Any]]:
    groups = []
    for part, lr in ((classifier.encoder, config.lr), (classifier.head, config.head_lr)):
        trained = [p for p in part.parameters() if p.requires_grad]
        for params, decay in (
            ([p for p in trained if p.ndim > 1], config.weight_decay),
            ([p for p in trained if p.ndim <= 1], 0.0),
        ):
            if params:
                groups.append({"params": params, "lr": lr, "peak": lr, "weight_decay": decay})
    return groups
