"""One update of a method: learning rate, loss, gradients, optimiser."""

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_
from torch.nn.utils import get_total_norm as total_norm

from sslbench import collectives, distributed
from sslbench.api.method import Batch, DataInfo, Method
from sslbench.nn.encoder import Encoder
from sslbench.run import PretrainConfig
from sslbench.train.clock import Clock
from sslbench.train.context import TrainingContext
from sslbench.train.optim import build_optimizer, set_lr
from sslbench.train.readings import GRADIENTS, WEIGHTS


class Step:
    """A method on its device, in its precision, with its optimiser."""

    def __init__(
        self, method: Method, config: PretrainConfig, data: DataInfo, device: torch.device
    ) -> None:
        """Moves ``method`` there, channels last, which convolutions are fastest with."""
        self.config, self.data, self.device = config, data, device
        self.dtype = torch.float64 if config.precision == "fp64" else torch.float32
        self.method = method.to(device, self.dtype).to(memory_format=torch.channels_last)
        self.optimizer = build_optimizer(method.param_groups(), config.optim, data.batch_size)

    def autocast(self) -> torch.autocast:
        enabled = self.config.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def placed(self, view: Tensor) -> Tensor:
        """A view as the method expects it: on its device, in its type, channels last."""
        view = view.to(self.device, self.dtype)
        return view.contiguous(memory_format=torch.channels_last) if view.ndim == 4 else view

    @property
    def trained(self) -> list[Tensor]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def add_up(self) -> None:
        """Ranks that share a batch add up what its parts give an encoder.

        All else sees the whole batch on every rank: the mean of equal gradients, so that what
        rounding does on one device is the same on all.
        """
        ranks = distributed.size()
        if ranks == 1:
            return
        encoders = [module for module in self.method.modules() if isinstance(module, Encoder)]
        shared = {id(p) for encoder in encoders for p in encoder.parameters()}
        having = [p for p in self.trained if p.grad is not None]
        collectives.add_up(
            [p.grad for p in having if p.grad is not None],
            [1.0 if id(p) in shared else 1 / ranks for p in having],
        )

    def __call__(
        self,
        views: tuple[Tensor, ...],
        index: Tensor,
        context: TrainingContext,
        epoch: int,
        step: int,
        clock: Clock,
    ) -> dict[str, Tensor]:
        """Update number ``step`` of the run; what it leaves for ``Readings``, on the device."""
        optim, data = self.config.optim, self.data
        whole = (self.placed(collectives.gathered(view.to(self.device))) for view in views)
        batch = Batch(tuple(whole), index.to(self.device))
        lr = set_lr(self.optimizer, optim, data.batch_size, step, data.steps_per_epoch, data.epochs)
        context.begin("step", epoch, step)
        clock.lap("views")
        with self.autocast():
            terms = self.method.loss(batch, context)
        loss = torch.stack(list(terms.values())).sum()
        clock.lap("forward")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.add_up()
        clock.lap("backward")
        trained = self.trained
        gradients = [p.grad for p in trained if p.grad is not None]
        gradient_norm = total_norm(gradients)  # before it is clipped
        if optim.clip is not None:
            clip_grads_with_norm_(trained, optim.clip, gradient_norm)
        self.optimizer.step()
        self.method.on_step_end(context)
        context.log("lr", lr)
        left = {
            "loss": loss.detach(),
            **{name: term.detach() for name, term in terms.items()},
            GRADIENTS: gradient_norm,
            WEIGHTS: total_norm(trained),
        }
        clock.lap("optimiser")
        return left
