"""A linear support vector machine that tells images which show a class from those which do not.

LIBLINEAR's dual solver (Fan et al., JMLR 9, 2008; scikit-learn's LinearSVC): half the squared
weights, bias included, plus C times the sum of weighted squared hinge losses.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import LinearSVC
from torch import Tensor

from sslbench.nn.convergence import fit_converged

LENGTH_FLOOR = 1e-5  # added to a feature's length, so that zeros stay zeros

Floats = NDArray[np.float64]


def over_length(x: Tensor) -> Tensor:
    """Features (N x D) over their length, in double precision, which LIBLINEAR computes in."""
    wide = x.double()
    length: Tensor = torch.linalg.vector_norm(wide, dim=1, keepdim=True)
    return wide / (length + LENGTH_FLOOR)


@dataclass(frozen=True)
class Examples:
    """Images of which it is known whether they show a class."""

    x: Floats  # N x D
    shown: NDArray[np.bool_]  # N

    @classmethod
    def of(cls, x: Floats, labels: NDArray[np.int64]) -> "Examples":
        """``labels`` (N): 1 shown, 0 not shown, -1 only as difficult, which leaves an image out."""
        counted = labels >= 0
        return cls(x if counted.all() else x[counted], labels[counted] == 1)

    def at(self, rows: NDArray[np.int64]) -> "Examples":
        """Some of them."""
        return Examples(self.x[rows], self.shown[rows])


@dataclass(frozen=True)
class Solver:
    """How an SVM is trained, but for its C."""

    positive_weight: float  # of an image that shows the class, in the sum of losses; all others 1
    max_iter: int
    tol: float
    seed: int  # of the order in which coordinates are descended; below 2^32

    def solve(self, given: Examples, c: float) -> tuple[Floats, bool]:
        """Weights and, last, the bias (D + 1), and whether the solver has converged."""
        model = LinearSVC(
            C=c,
            class_weight={1: self.positive_weight, -1: 1.0},
            dual=True,
            max_iter=self.max_iter,
            tol=self.tol,
            random_state=self.seed,
        )
        converged = fit_converged(model, given.x, np.where(given.shown, 1, -1))
        return np.append(model.coef_[0], model.intercept_), converged

    def validated(self, given: Examples, c: float, folds: int) -> float:
        """scikit-learn's average precision on images that an SVM has not seen: mean over folds.

        Folds are stratified and in the order of the images: nothing is drawn.
        """
        found = []
        for learn, judge in StratifiedKFold(folds).split(given.x, given.shown):
            weight, _ = self.solve(given.at(learn), c)
            unseen = given.at(judge)
            found.append(average_precision_score(unseen.shown, unseen.x @ weight[:-1]))
        return float(np.mean(found))


def decisions(x: Tensor, weight: Floats) -> NDArray[np.float32]:
    """Decision values of images (N x D, any length) by many SVMs (M x (D + 1)): N x M."""
    given = torch.from_numpy(weight)
    return (over_length(x) @ given[:, :-1].T + given[:, -1]).float().numpy()
