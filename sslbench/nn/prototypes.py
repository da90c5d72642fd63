"""A run's prototypes, and images in the space in which they lie.

Prototypes lie in the space of the head that was trained on the encoder, of which downstream use
throws both away (Guo et al., HCSC, arXiv:2202.00455, names that as its limit).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sslbench.errors import NotApplicable
from sslbench.nn.heads import imported_head
from sslbench.nn.losses import unit

PREFIX = "prototypes_"  # of their names among a run's artifacts, before the number of the level
_BLOCK = 1 << 14  # rows taken at once


@dataclass(frozen=True)
class Prototypes:
    """What a run left of its prototypes."""

    head: nn.Sequential
    levels: Mapping[str, Tensor]  # prototypes_0 first: M x D each, those that have images

    @classmethod
    def of(cls, artifacts: Mapping[str, Tensor]) -> "Prototypes":
        """Raises NotApplicable where there are none, or no head in whose space they lie."""
        names = [name for name in artifacts if name.startswith(PREFIX)]
        if not names:
            raise NotApplicable(
                "there are no prototypes: the method has none, training ended before it made any, "
                "or the encoder came out of a file"
            )
        head = imported_head(artifacts)
        if head is None:
            raise NotApplicable(
                "the head in whose space the prototypes lie was not kept when this run was "
                "trained. Remove the run's folder to train it again"
            )
        names.sort(key=lambda name: int(name.removeprefix(PREFIX)))
        # The prototype of a cluster that was discarded is void: a row of zeros.
        return cls(head, {name: _with_direction(artifacts[name].float()) for name in names})

    def embedded(self, features: Tensor) -> Tensor:
        """What the head makes of features (N x C, may be mapped from a file): N x D, unit rows.

        On the device of the head; the features are taken there a block at a time.
        """
        return torch.cat(list(self._blocks(features)))

    @torch.no_grad()
    def _blocks(self, features: Tensor) -> Iterator[Tensor]:
        device = next(iter(self.levels.values())).device
        for block in torch.split(features, _BLOCK):
            yield unit(self.head(block.to(device)))


def _with_direction(rows: Tensor) -> Tensor:
    return rows[rows.any(dim=1)]
