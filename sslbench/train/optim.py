"""Optimisers and learning-rate schedules of pre-training.

The rate that follows from the batch size is computed here and logged; no configuration is changed.
"""

import math
from collections.abc import Sequence
from typing import Any

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
    # One pass over weights, gradients and momenta in place of one for each operation.
    if config.name == "sgd":
        return SGD(options, lr=lr, momentum=config.momentum, fused=True)
    if config.name == "adamw":
        return torch.optim.AdamW(options, lr=lr, fused=True)
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


class SGD(torch.optim.SGD):
    """torch's, whose fused form fails where a parameter's first gradient comes after the others'.

    As that of a layer does which is frozen at first (torch 2.14). Momenta that start as zeros come
    to the same numbers.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """``closure`` is there for the signature: gradients come from the trainer."""
        for group in self.param_groups:
            if group["momentum"]:
                for param in group["params"]:
                    if param.grad is not None and not self.state[param]:
                        self.state[param]["momentum_buffer"] = torch.zeros_like(param)
        super().step()


class LARS(SGD):
    """Layer-wise adaptive rate scaling (You et al., arXiv:1708.03888), in the form of MoCo v3.

    SGD with momentum whose gradients are changed first, in place: tensors of more than one
    dimension decay and are scaled by ``trust * |p| / |g|``; biases and norms do neither.
    """

    def __init__(
        self, groups: Sequence[dict[str, Any]], lr: float, momentum: float, trust: float
    ) -> None:
        """Each group has its ``params`` and their ``weight_decay``."""
        # SGD's own decay would follow the scaling, and would take in biases and norms.
        own = [
            {**group, "weight_decay": 0.0, "decay": group["weight_decay"], "trust": trust}
            for group in groups
        ]
        super().__init__(own, lr=lr, momentum=momentum, fused=True)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None and p.ndim > 1]
            if weights:
                _scale_by_trust(weights, group["decay"], group["trust"])
        super().step()


def _scale_by_trust(weights: list[Tensor], decay: float, trust: float) -> None:
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    torch._foreach_add_(gradients, weights, alpha=decay)
    size = torch.stack(torch._foreach_norm(weights))
    slope = torch.stack(torch._foreach_norm(gradients))
    scale = torch.where((size > 0) & (slope > 0), trust * size / slope, torch.ones_like(size))
    torch._foreach_mul_(gradients, scale.unbind())
