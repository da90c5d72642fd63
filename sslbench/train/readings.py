"""What steps leave behind: it stays on the device and is read once for many of them."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from sslbench.errors import Diverged
from sslbench.health.checkup import Checkup

READ_STEPS = 20
GRADIENTS, WEIGHTS = "gradient_norm", "weight_norm"


class Readings:
    """The terms of the loss, their sum, and the norms of gradients and weights of every step."""

    def __init__(self, checkup: Checkup) -> None:
        self.checkup = checkup
        self.losses: dict[str, float] = {}  # the means that were read last
        self._waiting: list[tuple[int, dict[str, Tensor]]] = []

    @property
    def full(self) -> bool:
        return len(self._waiting) >= READ_STEPS

    def go_with(self, values: Mapping[str, Tensor]) -> bool:
        """Whether these may join those that wait: a mean is over steps with the same terms."""
        return not self._waiting or self._waiting[0][1].keys() == values.keys()

    def add(self, step: int, values: dict[str, Tensor]) -> None:
        """``step`` counts from 0; the values are scalars."""
        self._waiting.append((step, values))

    def read(self) -> dict[str, float]:
        """One transfer for all steps that wait: means, the largest gradient, the last weights.

        Raises Diverged at the first step with a number that is not finite.
        """
        rows = self._rows()
        names = list(rows[0][1])
        terms = [name for name in names if name not in (GRADIENTS, WEIGHTS)]
        for step, values in rows:
            self.checkup.course.follow(step + 1, terms, values["loss"], values[WEIGHTS])
        self._waiting.clear()
        means = {name: sum(values[name] for _, values in rows) / len(rows) for name in names}
        self.losses = {name: means[name] for name in terms}
        return {
            **self.losses,
            GRADIENTS: means[GRADIENTS],
            f"largest_{GRADIENTS}": max(values[GRADIENTS] for _, values in rows),
            WEIGHTS: rows[-1][1][WEIGHTS],
        }

    def state(self) -> dict[str, Any]:
        """For a checkpoint. Steps that wait go on waiting, so that it leaves no trace in the log.

        Raises Diverged as ``read``: what cannot go on is not kept.
        """
        return {"losses": self.losses, "waiting": self._rows()}

    def restore(self, state: Mapping[str, Any], device: torch.device) -> None:
        """What ``state`` gave."""
        self.losses = state["losses"]
        self._waiting = [
            (step, {name: torch.tensor(value, device=device) for name, value in values.items()})
            for step, values in state["waiting"]
        ]

    def _rows(self) -> list[tuple[int, dict[str, float]]]:
        """The step and the values of all that wait. Raises Diverged."""
        if not self._waiting:
            return []
        names = list(self._waiting[0][1])
        read = torch.stack(
            [torch.stack([step[name].float() for name in names]) for _, step in self._waiting]
        ).tolist()
        rows = [
            (step, dict(zip(names, values, strict=True)))
            for (step, _), values in zip(self._waiting, read, strict=True)
        ]
        for step, values in rows:
            self._check(step + 1, values)
        return rows

    def _check(self, step: int, values: Mapping[str, float]) -> None:
        bad = [name for name, value in values.items() if not isfinite(value)]
        if bad:
            last = ", ".join(f"{k} {v:.4g}" for k, v in self.losses.items())
            raise Diverged(
                f"diverged at step {step} of {self.checkup.course.steps}: {', '.join(bad)} not "
                f"finite; last finite means: {last or 'none'}",
                step,
            )
