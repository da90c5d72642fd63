"""The bytes that a run keeps on every rank, counted on the method itself without its memory."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sslbench.nn import Clusters, FeatureQueue, MemoryBank
from sslbench.plan import Planned
from sslbench.train.build import build_method

_ADAM = 2  # numbers that an optimiser keeps of each weight; SGD's momentum is one


@dataclass(frozen=True)
class Holding:
    """Of one run, in bytes."""

    trained: int  # weights, their gradients and what the optimiser keeps of them
    copies: int  # momentum copies, and buffers of no other kind
    queue: int
    bank: int  # grows with the images
    assignments: int  # grows with the images
    prototypes: int

    @property
    def total(self) -> int:
        fixed = self.trained + self.copies + self.queue + self.prototypes
        return fixed + self.bank + self.assignments


def holding(row: Planned) -> Holding:
    """Counted on tensors that have a shape and a type but no memory (torch's "meta" device)."""
    with torch.device("meta"):
        method = build_method(row.config, row.data, row.label)
    states = _ADAM if row.config.pretrain.optim.name == "adamw" else 1
    trained = sum(_bytes(p) for p in method.parameters() if p.requires_grad)
    kinds = {kind: _of_kind(method, kind) for kind in (FeatureQueue, MemoryBank, Clusters)}
    kept = sum(map(_bytes, method.state_dict().values()))
    found = [module for module in method.modules() if isinstance(module, Clusters)]
    assignments = sum(_bytes(clusters.assignment) for clusters in found)
    return Holding(
        trained=trained * (2 + states),
        copies=kept - trained - sum(kinds.values()),
        queue=kinds[FeatureQueue],
        bank=kinds[MemoryBank],
        assignments=assignments,
        prototypes=kinds[Clusters] - assignments,
    )


def _of_kind(method: nn.Module, kind: type[nn.Module]) -> int:
    modules = [module for module in method.modules() if isinstance(module, kind)]
    return sum(_bytes(tensor) for module in modules for tensor in module.buffers())


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
