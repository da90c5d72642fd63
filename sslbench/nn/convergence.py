"""Whether one of scikit-learn's solvers came to its end, as a value and not as a warning."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning


def fit_converged(model: Any, x: NDArray[np.floating], y: NDArray[np.integer]) -> bool:
    """Fits a model to rows (N x D) and answers (N): False if the limit of iterations cut it short.

    Any other warning is passed on.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x, y)
    cut_short = [issubclass(item.category, ConvergenceWarning) for item in caught]
    for item, known in zip(caught, cut_short, strict=True):
        if not known:
            warnings.warn_explicit(item.message, item.category, item.filename, item.lineno)
    return not any(cut_short)
