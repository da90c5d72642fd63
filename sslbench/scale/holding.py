"""The bytes that a run keeps on every rank, counted on the method itself without its memory."""

from dataclasses import dataclass

from torch import nn

from sslbench.nn import Clusters, FeatureQueue, MemoryBank
from sslbench.plan import Planned
from sslbench.scale.rows import without_memory

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
    method = without_memory(row)
    states = _ADAM if row.config.pretrain.optim.name == "adamw" else 1
    trained = sum(p.nbytes for p in method.parameters() if p.requires_grad)
    kinds = {kind: _of_kind(method, kind) for kind in (FeatureQueue, MemoryBank, Clusters)}
    kept = sum(tensor.nbytes for tensor in method.state_dict().values())
    found = [module for module in method.modules() if isinstance(module, Clusters)]
    assignments = sum(clusters.assignment.nbytes for clusters in found)
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
    return sum(tensor.nbytes for module in modules for tensor in module.buffers())
