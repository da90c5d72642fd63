"""Optimisers and learning-rate schedules of pre-training.

The rate that follows from the batch size is computed here and logged; no configuration is changed.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sslbench.api.method import ParamGroup
from sslbench.errors import PluginError
from sslbench.run import OptimConfig


def peak_lr(config: OptimConfig, batch_size: int) -> float:
    """The learning rate after warm-up: ``lr`` scaled from ``lr_per_batch`` to the batch size."""
    if config.lr_per_batch is None:
        return config.lr
    ratio = batch_size / config.lr_per_batch
    return config.lr * (ratio if config.lr_scaling == "linear" else math.sqrt(ratio))


def lr_factor(config: OptimConfig, step: int, steps_per_epoch: int, epochs: int) -> float:
    """What the peak rate is multiplied with at a step (ALGORITHMS of MoCo, HCSC, MoCo v3).

    A linear warm-up from zero, then cosine to ``final_lr``, tenths at the milestones, or constant.
    """
    epoch = step / steps_per_epoch if config.per_step else float(step // steps_per_epoch)
    if epoch < config.warmup_epochs:
        return epoch / config.warmup_epochs
    if config.schedule == "constant":
        return 1.0
    if config.schedule == "step":
        return float(0.1 ** sum(epoch >= milestone * epochs for milestone in config.milestones))
    done = (epoch - config.warmup_epochs) / max(epochs - config.warmup_epochs, 1e-12)
    cosine = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return config.final_lr + (1 - config.final_lr) * cosine


def build_optimizer(
    groups: Sequence[ParamGroup], config: OptimConfig, batch_size: int
) -> torch.optim.Optimizer:
    """An optimiser over a method's groups; biases and norms apart where they do not decay.

    Raises PluginError if a parameter is in two groups or in none needs a gradient.
    """
    seen: set[int] = set()
    options = []
    for group in groups:
        repeated = [p for p in group.params if id(p) in seen]
        if repeated:
            raise PluginError(f"param_groups: a parameter of group {group.name!r} is in two groups")
        seen.update(id(p) for p in group.params)
        decay = config.weight_decay if group.weight_decay is None else group.weight_decay
        flat = [p for p in group.params if p.ndim <= 1 and not config.decay_norms]
        deep = [p for p in group.params if p.ndim > 1 or config.decay_norms]
        for params, weight_decay in ((deep, decay), (flat, 0.0)):
            if params:
                options.append(
                    {
                        "params": params,
                        "weight_decay": weight_decay,
                        "lr_scale": group.lr_scale,
                        "constant_lr": group.constant_lr,
                    }
                )
    lr = peak_lr(config, batch_size)
    if config.name == "sgd":
        return torch.optim.SGD(options, lr=lr, momentum=config.momentum, foreach=True)
    if config.name == "adamw":
        return torch.optim.AdamW(options, lr=lr, foreach=True)
    return LARS(options, lr=lr, momentum=config.momentum, trust=config.trust)


def set_lr(
    optimizer: torch.optim.Optimizer,
    config: OptimConfig,
    batch_size: int,
    step: int,
    steps_per_epoch: int,
    epochs: int,
) -> float:
    """Gives every group its rate for a step; returns the rate of an ordinary group."""
    peak = peak_lr(config, batch_size)
    lr = peak * lr_factor(config, step, steps_per_epoch, epochs)
    for group in optimizer.param_groups:
        group["lr"] = (peak if group["constant_lr"] else lr) * group["lr_scale"]
    return lr


class LARS(torch.optim.Optimizer):
    """Layer-wise adaptive rate scaling (You et al., arXiv:1708.03888), in the form of MoCo v3.

    Tensors of more than one dimension decay and are scaled by ``trust * |p| / |g|``; biases and
    norms do neither.
    """

    def __init__(self, params: list[dict[str, object]], lr: float, momentum: float, trust: float):
        super().__init__(params, {"lr": lr, "momentum": momentum, "trust": trust})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self._update(param, param.grad, group)
        return loss

    def _update(self, param: Tensor, grad: Tensor, group: dict[str, float]) -> None:
        if param.ndim > 1:
            grad = grad.add(param, alpha=group["weight_decay"])
            size, slope = param.norm(), grad.norm()
            scaled = group["trust"] * size / slope
            grad = grad * torch.where((size > 0) & (slope > 0), scaled, torch.ones_like(scaled))
        state = self.state[param]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(param)
        velocity = state["momentum_buffer"].mul_(group["momentum"]).add_(grad)
        param.sub_(velocity, alpha=group["lr"])
