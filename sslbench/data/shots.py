"""Few labelled images per class ("shots"), drawn so that every method sees the same ones.

Which images are drawn depends on the seed, the number of the draw, the class and the positions in
the data set only, never on features. Fewer shots are the beginning of more: what 5 of a class bring
over 1 is then no matter of which images were drawn.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from sslbench.data.draws import Draws
from sslbench.errors import DataError

Positions = NDArray[np.int64]


def by_class(labels: NDArray[np.int64], classes: int) -> list[Positions]:
    """For each class the positions of its images; ``labels``: N, from 0 to classes - 1."""
    order = np.argsort(labels, kind="stable").astype(np.int64)
    return np.split(order, np.searchsorted(labels[order], np.arange(1, classes)))


def check_shots(
    dataset: str, members: Sequence[Positions], shots: int, name: Callable[[int], str]
) -> None:
    """Raises DataError that names the first class with fewer than ``shots`` images.

    ``name``: of a class, asked only for that message.
    """
    few = [cls for cls, positions in enumerate(members) if len(positions) < shots]
    if few:
        others = f", and of {len(few) - 1} more classes too few" if len(few) > 1 else ""
        raise DataError(
            f"{dataset}: {len(members[few[0]])} training images of {name(few[0])!r}, fewer than "
            f"{shots} shots{others}. Set smaller settings.shots"
        )


def drawn_shots(seed: int, draw: int, members: Sequence[Positions], shots: int) -> list[Positions]:
    """Of each class ``shots`` images at random, in the order in which they were drawn.

    ``members``: for each class the positions of its images, at least as many.
    """
    found = []
    for cls, positions in enumerate(members):
        keys = Draws(seed, f"shots/{draw}", positions).bits(f"class {cls}")[:, 0]
        found.append(positions[np.argsort(keys, kind="stable")[:shots]])
    return found
