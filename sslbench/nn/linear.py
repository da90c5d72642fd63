"""Linear classifiers, one per setting, that are trained side by side and compared.

All heads see the same batches, so their weights lie side by side in one matrix and a step costs
two matrix products. The gradient of the cross-entropy is written out: probabilities less one-hot
labels.
"""

from collections.abc import Mapping, Sequence
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

    def to(self, device: torch.device) -> "Standardiser":
        return Standardiser(self.mean.to(device), self.scale.to(device))


@dataclass(frozen=True)
class Rows:
    """Features that may be larger than the memory: a block at a time is moved and standardised."""

    x: Tensor  # N x D
    device: torch.device
    standardise: Standardiser | None = None  # on the device

    def __getitem__(self, which: Tensor | slice) -> Tensor:
        """n x D on the device."""
        rows = self.x[which].to(self.device)
        return rows if self.standardise is None else self.standardise(rows)


@dataclass(frozen=True)
class LinearHeads:
    """Linear classifiers, one per setting."""

    weight: Tensor  # D x classes x heads: a softmax over few classes is fastest with heads last
    bias: Tensor  # classes x heads

    @property
    def finite(self) -> Tensor:
        """Which heads (heads, bool) did not diverge."""
        return self.weight.isfinite().all(dim=0).all(dim=0) & self.bias.isfinite().all(dim=0)

    def alone(self, head: int) -> "LinearHeads":
        """A copy of one head, which further training leaves as it is."""
        keep = slice(head, head + 1)
        return LinearHeads(self.weight[:, :, keep].clone(), self.bias[:, keep].clone())

    def accuracy(self, features: Rows, labels: Tensor) -> Tensor:
        """The share of right answers of each head: heads, float64, -1 for one that diverged."""
        classes, heads = self.bias.shape
        right = torch.zeros(heads, dtype=torch.int64, device=self.bias.device)
        rows = max(1, BLOCK // (heads * classes))
        for first in range(0, len(labels), rows):
            block = slice(first, first + rows)
            y = labels[block].to(self.bias.device)
            logits = torch.addmm(self.bias.flatten(), features[block], self.weight.flatten(1))
            answers = logits.view(-1, classes, heads).argmax(dim=1)  # n x heads
            right += (answers == y[:, None]).sum(dim=0)
        return torch.where(self.finite, right.double() / len(labels), -1.0)

    def ranked(self, head: int, features: Rows, ranks: int) -> Tensor:
        """The best classes of one head, best first: N x ranks. Raises Diverged if it diverged."""
        if not self.finite[head]:
            raise Diverged("the linear classifier's weights are not finite: take a smaller rate")
        logits = features[:] @ self.weight[:, :, head] + self.bias[:, head]
        return logits.sort(dim=1, descending=True, stable=True).indices[:, :ranks]


class HeadsInTraining:
    """A head per setting on one input, trained step by step by SGD with momentum.

    The bias does not decay. A rate that is too high leaves a head with weights that are not finite.
    """

    def __init__(
        self,
        weight: Tensor,
        settings: Sequence[Setting],
        *,
        momentum: float,
        nesterov: bool = False,
    ) -> None:
        """``weight``: D x classes, what every head starts from; biases start from 0."""
        self.dim, self.classes = weight.shape
        self.count, self.momentum, self.nesterov = len(settings), momentum, nesterov
        self._lr, self._decay = (
            torch.tensor(values, device=weight.device).repeat(self.classes)
            for values in ([s.lr for s in settings], [s.weight_decay for s in settings])
        )
        self._weight = weight.repeat_interleave(self.count, dim=1)  # heads last
        self._bias = weight.new_zeros(self.classes * self.count)
        self._weight_velocity = torch.zeros_like(self._weight)
        self._bias_velocity = torch.zeros_like(self._bias)

    def step(self, x: Tensor, y: Tensor, share: float) -> None:
        """One step on a batch, x: n x D, y: n, at ``share`` of every head's rate."""
        n = len(y)
        error = torch.addmm(self._bias, x, self._weight).view(n, self.classes, self.count)
        error = error.softmax(dim=1)
        error[torch.arange(n, device=y.device), y] -= 1.0  # n x classes x heads
        error = error.view(n, -1).div_(n)
        rate = self._lr * share
        velocity = self._weight_velocity.mul_(self.momentum)
        if self.nesterov:
            gradient = torch.mm(x.T, error).addcmul_(self._weight, self._decay)
            change = gradient.add_(velocity.add_(gradient), alpha=self.momentum)
            bias_gradient = error.sum(dim=0)
            self._bias_velocity.mul_(self.momentum).add_(bias_gradient)
            bias_change = bias_gradient.add_(self._bias_velocity, alpha=self.momentum)
        else:
            change = velocity.addmm_(x.T, error).addcmul_(self._weight, self._decay)
            bias_change = self._bias_velocity.mul_(self.momentum).add_(error.sum(dim=0))
        self._weight.addcmul_(change, rate, value=-1.0)
        self._bias.addcmul_(bias_change, rate, value=-1.0)

    @property
    def heads(self) -> LinearHeads:
        """The heads as they are now; the next step changes them."""
        return LinearHeads(
            self._weight.view(self.dim, self.classes, self.count),
            self._bias.view(self.classes, self.count),
        )

    def state(self) -> dict[str, Tensor]:
        """All that training changes."""
        return {
            "weight": self._weight,
            "bias": self._bias,
            "weight_velocity": self._weight_velocity,
            "bias_velocity": self._bias_velocity,
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from what ``state`` gave."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])


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
