"""Multinomial logistic regression: solved for one C, or for a grid of which one is picked.

scikit-learn's L-BFGS in double precision. C weighs the sum of the losses against half the squared
weights.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from sslbench.config import Settings
from sslbench.nn.convergence import fit_converged

SMALL = 2**30  # products that one thread is enough for
NOISE = 1e-12  # share of the largest squared singular value that rounding makes of float32 rows

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Exactness(Protocol):
    """How exactly a minimum is sought."""

    @property
    def tol(self) -> float:
        """Largest component of the gradient of the mean loss."""
        ...

    @property
    def max_iter(self) -> int: ...


class GridSettings(Settings):
    """Which C are compared, and how exactly each is solved for."""

    powers: tuple[float, float] = (-2.0, 4.0)  # C from 10 to the first to 10 to the second
    values: int = Field(9, ge=1)  # of C, evenly spaced in powers; of one the first power
    max_iter: int = Field(1000, ge=1)
    tol: float = Field(1e-6, gt=0)  # largest component of the gradient of the mean loss

    @model_validator(mode="after")
    def _powers_ascend(self) -> "GridSettings":
        if self.powers[0] >= self.powers[1]:
            raise ValueError(f"powers {list(self.powers)}: expected the smaller first")
        return self

    @property
    def grid(self) -> list[float]:
        """From the strongest penalty to the weakest."""
        return [float(c) for c in 10 ** np.linspace(*self.powers, self.values)]


@dataclass(frozen=True)
class Solution:
    """A model's weights, and whether they are at the minimum."""

    weight: Floats  # classes x D; 1 x D where there are two classes
    bias: Floats  # classes; 1
    converged: bool
    iterations: int

    def ranked(self, x: Floats, ranks: int) -> Integers:
        """The places of the best classes among those of the training images, best first."""
        scores = x @ self.weight.T + self.bias
        if len(self.weight) == 1:
            scores = np.hstack([-scores, scores])
        best: Integers = np.argsort(-scores, axis=1, kind="stable")[:, :ranks]
        return best

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        weight, bias = torch.from_numpy(self.weight), torch.from_numpy(self.bias)
        return {**vars(self), "weight": weight, "bias": bias}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "Solution":
        """What ``state`` gave."""
        arrays = {name: state[name].numpy() for name in ("weight", "bias")}
        return cls(**{**state, **arrays})


@dataclass(frozen=True)
class Part:
    """Features, standardised or not, and labels."""

    x: Floats  # N x D
    y: Integers  # N


def solve(part: Part, c: float, exactness: Exactness, start: Solution | None) -> Solution:
    """The model of a part at a C, sought from another solution on."""
    model = LogisticRegression(C=c, tol=exactness.tol, max_iter=exactness.max_iter, warm_start=True)
    if start is not None:
        model.coef_, model.intercept_ = start.weight, start.bias
    with threadpool_limits(_threads(part.x.size * len(np.unique(part.y)))):
        converged = fit_converged(model, part.x, part.y)
    return Solution(model.coef_, model.intercept_, converged, int(model.n_iter_.max()))


def _threads(products: int) -> int:
    """Few are quickest on one thread, and then no result depends on how many there are."""
    return 1 if products < SMALL else torch.get_num_threads()


@dataclass(frozen=True)
class Picked:
    """The best C of a grid, of equals the strongest penalty."""

    place: int
    accuracy: float
    solution: Solution
    cut_short: int  # how many of the grid have not converged


def pick(
    learn: Part,
    judge: Part,
    grid: Sequence[float],
    exactness: Exactness,
    state: Mapping[str, Any] | None,
    after: Callable[[dict[str, Any]], None],
) -> Picked:
    """Solves for every C on one part, each from the last, and compares accuracies on another.

    ``grid``: from the strongest penalty to the weakest. ``after`` is told of the state behind each;
    given back as ``state``, the search goes on from there, and its key "done" says how many it had.
    """
    classes = np.unique(learn.y)
    known = dict(state or {"done": 0, "accuracy": -1.0, "cut_short": 0})
    for place in range(known["done"], len(grid)):
        last = Solution.of(known["last"]) if place else None
        found = solve(learn, grid[place], exactness, last)
        accuracy = float((classes[found.ranked(judge.x, 1)[:, 0]] == judge.y).mean())
        cut_short = known["cut_short"] + (not found.converged)
        known |= {"done": place + 1, "last": found.state(), "cut_short": cut_short}
        if accuracy > known["accuracy"]:
            known |= {"place": place, "accuracy": accuracy, "best": found.state()}
        after(known)
    return Picked(known["place"], known["accuracy"], Solution.of(known["best"]), known["cut_short"])


def directions(x: Floats) -> Floats:
    """Orthonormal directions (D x r) that hold all rows of ``x`` (N x D), r its rank; D of zeros.

    A penalised model of ``x @ directions`` is that of ``x``, for the penalty does not change with a
    rotation and no weight is spent where no row reaches; with r far below D it is found sooner.
    """
    with threadpool_limits(_threads(x.size * x.shape[1])):
        values, vectors = np.linalg.eigh(x.T @ x)
    found: Floats = np.ascontiguousarray(vectors[:, values >= NOISE * values[-1]])
    return found
