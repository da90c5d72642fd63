"""What the trainer lends a method: draws that depend on nothing but their place, and embeddings."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from sslbench import collectives, distributed
from sslbench.api.method import DataInfo, Method
from sslbench.data.random import derive_seed
from sslbench.nn.chances import Chances
from sslbench.nn.folding import folded
from sslbench.nn.modes import measuring
from sslbench.train.bernoulli import bernoulli

EmbedBatches = Callable[[], Iterator[Tensor]]  # centre views of the training set, in order


class TrainingContext:
    """The ``Context`` of the contract. ``begin`` is called before every step and epoch."""

    def __init__(
        self,
        seed: int,
        data: DataInfo,
        device: torch.device,
        method: Method,
        batches: EmbedBatches,
        autocast: Callable[[], torch.autocast],
        counts: Sequence[int] | None = None,
    ) -> None:
        """``counts``: the images that ``batches`` gives on each rank; None: all, on this one."""
        self.epochs, self.steps = data.epochs, data.steps
        self._counts = [data.images] if counts is None else list(counts)
        self.epoch = self.step = 0
        self.logged: dict[str, Tensor | float] = {}
        self._seed, self._device, self._method = seed, device, method
        self._batches, self._autocast = batches, autocast
        self._place, self._calls = "", 0

    def begin(self, place: str, epoch: int, step: int) -> None:
        """``place`` is "epoch" or "step"; draws are numbered from here."""
        self.epoch, self.step = epoch, step
        self._place, self._calls = place, 0

    @property
    def progress(self) -> float:
        return self.step / max(self.steps, 1)

    def _call(self) -> int:
        """The seed of a draw."""
        seed = derive_seed(self._seed, "method", self._place, self.step, self._calls)
        self._calls += 1
        return seed

    def _generator(self) -> torch.Generator:
        # On the CPU whatever the device, so that a run draws the same everywhere.
        return torch.Generator().manual_seed(self._call())

    def rand(self, rows: int, *shape: int) -> Tensor:
        return torch.rand(rows, *shape, generator=self._generator()).to(self._device)

    def bernoulli(self, probability: Tensor | Chances, rows: Tensor) -> Tensor:
        chances = Chances(probability) if isinstance(probability, Tensor) else probability
        return bernoulli(self._call(), chances, rows)

    def integers(self, high: int, rows: int, *shape: int) -> Tensor:
        drawn = torch.randint(high, (rows, *shape), generator=self._generator())
        return drawn.to(self._device)

    def choice(self, n: int, k: int) -> Tensor:
        return self.permutation(n)[:k]

    def permutation(self, n: int) -> Tensor:
        return torch.randperm(n, generator=self._generator()).to(self._device)

    def embed(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        rows: Tensor | None = None
        done, own = 0, self._counts[distributed.rank()]
        with measuring(self._method), folded(self._method), self._autocast():
            for batch in self._batches():
                part = function(batch).float()
                if rows is None:  # put in place at once: concatenated, they would be held twice
                    rows = part.new_empty(own, *part.shape[1:])
                rows[done : done + len(part)] = part
                done += len(part)
        if done != own or not sum(self._counts):
            raise ValueError(f"{done} images were embedded, expected {own}")
        return collectives.gathered_parts(rows, self._counts, self._device)

    def log(self, name: str, value: Tensor | float) -> None:
        self.logged[name] = value.detach() if isinstance(value, Tensor) else value
