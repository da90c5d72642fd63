"""Linear classifiers trained under many settings in one pass.

All heads see the same batches, so their weights lie side by side in one matrix and a step costs
two matrix products. The gradient of the cross-entropy is written out: probabilities less one-hot
labels.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sslbench.errors import Diverged

VARIANCE_FLOOR = 1e-3  # of the mean variance, added to each
BLOCK = 2**24  # numbers in a block of rows x heads x classes: 64 MiB


@dataclass(frozen=True)
class Setting:
    """How one head is trained."""

    lr: float
    weight_decay: float


@dataclass(frozen=True)
class Standardiser:
    """Moves features to mean 0, equal variance and a mean squared length of 1.

    A learning rate then means the same for every encoder, whatever its width and the scale of its
    features, so that none is favoured by the grid. Dimensions of little variance are not blown up.
    """

    mean: Tensor  # D
    scale: Tensor  # D

    @classmethod
    def of(cls, features: Tensor) -> "Standardiser":
        """From the features (N x D) that a head is trained on, and from no others."""
        variance, mean = torch.var_mean(features, dim=0, correction=0)
        floored = variance + VARIANCE_FLOOR * variance.mean()
        length = (variance / floored.clamp_min(torch.finfo(floored.dtype).tiny)).sum()
        # Features that are all alike (a collapsed encoder) become zeros, and stay at chance.
        scale = torch.where(floored > 0, (floored * length.clamp_min(1e-12)).rsqrt(), 0.0)
        return cls(mean, scale)

    def __call__(self, features: Tensor) -> Tensor:
        return (features - self.mean) * self.scale


@dataclass(frozen=True)
class LinearHeads:
    """Linear classifiers, one per setting."""

    weight: Tensor  # D x classes x heads: a softmax over few classes is fastest with heads last
    bias: Tensor  # classes x heads

    @property
    def finite(self) -> Tensor:
        """Which heads (heads, bool) did not diverge."""
        return self.weight.isfinite().all(dim=0).all(dim=0) & self.bias.isfinite().all(dim=0)

    def accuracy(self, features: Tensor, labels: Tensor) -> Tensor:
        """The share of right answers of each head: heads, float64, -1 for one that diverged."""
        classes, heads = self.bias.shape
        right = torch.zeros(heads, dtype=torch.int64, device=features.device)
        rows = max(1, BLOCK // (heads * classes))
        for x, y in zip(torch.split(features, rows), torch.split(labels, rows), strict=True):
            logits = torch.addmm(self.bias.flatten(), x, self.weight.flatten(1))
            answers = logits.view(-1, classes, heads).argmax(dim=1)  # n x heads
            right += (answers == y[:, None]).sum(dim=0)
        return torch.where(self.finite, right.double() / len(labels), -1.0)

    def ranked(self, head: int, features: Tensor, ranks: int) -> Tensor:
        """The best classes of one head, best first: N x ranks. Raises Diverged if it diverged."""
        if not self.finite[head]:
            raise Diverged("the linear classifier's weights are not finite: take a smaller rate")
        logits = features @ self.weight[:, :, head] + self.bias[:, head]
        return logits.sort(dim=1, descending=True, stable=True).indices[:, :ranks]


def fit_linear(
    features: Tensor,
    labels: Tensor,
    classes: int,
    settings: Sequence[Setting],
    *,
    epochs: int,
    batch_size: int,
    momentum: float,
    seed: int,
    on_epoch: Callable[[int], None],
) -> LinearHeads:
    """A head per setting, by SGD with momentum and a cosine to 0, from weights of 0.

    ``features``: N x D, ``labels``: N. The bias does not decay. The order of the images depends on
    the seed and on N only. A rate that is too high leaves a head with weights that are not finite.
    """
    n, dim = features.shape
    heads = len(settings)
    lr, decay = (
        torch.tensor(values, device=features.device).repeat(classes)
        for values in ([s.lr for s in settings], [s.weight_decay for s in settings])
    )
    weight = features.new_zeros(dim, classes * heads)
    bias = features.new_zeros(classes * heads)
    weight_velocity, bias_velocity = torch.zeros_like(weight), torch.zeros_like(bias)
    generator = torch.Generator().manual_seed(seed)
    steps, step = epochs * math.ceil(n / batch_size), 0
    for epoch in range(epochs):
        order = torch.randperm(n, generator=generator).to(features.device)
        for index in torch.split(order, batch_size):
            x, y = features[index], labels[index]
            error = torch.addmm(bias, x, weight).view(-1, classes, heads).softmax(dim=1)
            error[torch.arange(len(y), device=y.device), y] -= 1.0  # n x classes x heads
            error = error.view(len(y), -1) / len(y)
            rate = lr * (0.5 * (1.0 + math.cos(math.pi * step / steps)))
            weight_velocity.mul_(momentum).addmm_(x.T, error).addcmul_(weight, decay)
            bias_velocity.mul_(momentum).add_(error.sum(dim=0))
            weight.addcmul_(weight_velocity, rate, value=-1.0)
            bias.addcmul_(bias_velocity, rate, value=-1.0)
            step += 1
        on_epoch(epoch + 1)
    return LinearHeads(weight.view(dim, classes, heads), bias.view(classes, heads))


def best_setting(settings: Sequence[Setting], accuracies: Tensor) -> tuple[int, float]:
    """The best setting and its accuracy; of equals the one with the lower rate, then more decay.

    Raises Diverged if no head's weights stayed finite.
    """
    found = accuracies.tolist()
    best = max(
        range(len(settings)),
        key=lambda i: (found[i], -settings[i].lr, settings[i].weight_decay),
    )
    if found[best] < 0:
        raise Diverged(
            f"all {len(settings)} linear classifiers diverged, with learning rates from "
            f"{min(s.lr for s in settings)} on: take smaller ones"
        )
    return best, found[best]
