"""Does the gradient lower the loss?

Queues fill, clusters form and terms begin, so a sound method's loss may well rise in training.
Therefore it is asked of one batch with one set of draws, each step beginning with the same memory:
then only what is learnt can move the loss, and a gradient of the wrong sign, or of only a part of
the loss, shows.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from sslbench.api import Batch, LossTerms, Method
from sslbench.data.images import ImageSet
from sslbench.data.loaders import ViewLoader, embed_batches
from sslbench.errors import PluginError
from sslbench.plan import Planned
from sslbench.train.context import TrainingContext

CPU = torch.device("cpu")
STEPS = 10
RATE = 1e-4  # Adam's: each weight moves about so far in a step, whatever the scale of the loss
SHARE = 0.5  # of the promised fall; sound methods, stop-gradients and all, reach 0.9 or more


def check_descent(method: Method, row: Planned, images: ImageSet) -> None:
    """Raises PluginError unless the sum of the terms falls as far as its gradients say."""
    values, promised = descend(method, row, images)
    fell = values[0] - values[-1]
    if not fell >= SHARE * promised > 0:
        raise PluginError(
            f"on one batch, its memory held still, {STEPS} steps took the loss from "
            f"{values[0]:.6g} to {values[-1]:.6g}, where its gradients promised a fall of "
            f"{promised:.3g}: they are not the gradients of this loss"
        )


def descend(method: Method, row: Planned, images: ImageSet) -> tuple[list[float], float]:
    """The loss before each step and after the last, and the sum of what each gradient promised.

    In the last epoch, past any warm-up. What a gradient promises is its product with the step that
    was then made. Moves the method's parameters.
    """
    epoch = row.data.epochs - 1
    step = epoch * row.data.steps_per_epoch
    batch, context = _first_batch(method, row, images, epoch)
    method.train()
    context.begin("epoch", epoch, step)
    method.on_epoch_start(context)

    trained = [p for p in method.parameters() if p.requires_grad]
    held = [p for p in method.parameters() if not p.requires_grad]
    memory = {name: buffer.clone() for name, buffer in method.named_buffers()}
    frozen = [p.clone() for p in held]
    optimizer = torch.optim.Adam(trained, lr=RATE)

    @torch.no_grad()
    def restore() -> None:
        for name, buffer in method.named_buffers():
            buffer.copy_(memory[name])
        for parameter, value in zip(held, frozen, strict=True):
            parameter.copy_(value)

    def total() -> Tensor:
        restore()
        torch.manual_seed(0)  # dropout and drop path inside encoders
        context.begin("step", epoch, step)
        terms: LossTerms = method.loss(batch, context)
        return torch.stack(list(terms.values())).sum()

    values, promised = [], 0.0
    for _ in range(STEPS):
        loss = total()
        values.append(loss.item())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        before = [p.detach().clone() for p in trained]
        optimizer.step()
        method.on_step_end(context)
        promised += sum(
            float((old - new.detach()).mul(new.grad).sum())
            for old, new in zip(before, trained, strict=True)
            if new.grad is not None
        )
    values.append(total().item())
    return values, promised


def _first_batch(
    method: Method, row: Planned, images: ImageSet, epoch: int
) -> tuple[Batch, TrainingContext]:
    config, size = row.config, row.config.pretrain.image_size
    loader = ViewLoader(
        images,
        config.pretrain.augment,
        config.pretrain.views,
        size,
        config.pretrain.batch_size,
        config.seed,
        device=CPU,
        workers=0,
        path="batched",
    )

    def centre_views() -> Iterator[Tensor]:
        return iter(embed_batches(images, size, 512, device=CPU, workers=0))

    def autocast() -> torch.autocast:
        return torch.autocast("cpu", enabled=False)

    context = TrainingContext(config.seed, row.data, CPU, method, centre_views, autocast)
    views, index = next(loader.epoch(epoch))
    return Batch(views, index), context
