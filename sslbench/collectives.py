"""Tensors that ranks tell each other, with the gradients that come back.

Alone, a process keeps what it has, and nothing here does anything.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from sslbench import distributed


class _Gathered(torch.autograd.Function):
    """All ranks' rows. What follows is the same on every rank, and so is its gradient."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.mine = slice(distributed.rank() * len(rows), (distributed.rank() + 1) * len(rows))
        return torch.cat(_all(rows))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient[ctx.mine].contiguous()


def gathered(rows: Tensor) -> Tensor:
    """The rows of all ranks, as many of each, in rank order; gradients go back to their own."""
    if distributed.size() == 1:
        return rows
    found: Tensor = _Gathered.apply(rows)
    return found


def gathered_parts(rows: Tensor | None, counts: Sequence[int], device: torch.device) -> Tensor:
    """All ranks' rows where these have not as many each, which every rank knows; no gradients.

    A rank that has none, and so cannot know their width, gives None.
    """
    if distributed.size() == 1 and rows is not None:
        return rows
    kinds = distributed.of_all(None if rows is None else (rows.shape[1:], rows.dtype))
    shape, dtype = next(kind for kind in kinds if kind is not None)
    padded = torch.zeros(max(counts), *shape, dtype=dtype, device=device)
    if rows is not None:
        padded[: len(rows)] = rows
    return torch.cat([part[:n] for part, n in zip(_all(padded), counts, strict=True)])


def _all(rows: Tensor) -> list[Tensor]:
    plain = rows.detach().contiguous()
    raw = plain.view(torch.uint8) if plain.dtype == torch.bfloat16 else plain  # not all know bf16
    parts = [torch.empty_like(raw) for _ in range(distributed.size())]
    dist.all_gather(parts, raw)
    return [part.view(plain.dtype) for part in parts]


def add_up(tensors: Sequence[Tensor], weights: Sequence[float]) -> None:
    """Each becomes the sum over ranks of ``weight`` times itself; one message for all of a type."""
    for dtype in sorted({tensor.dtype for tensor in tensors}, key=str):  # alike on all ranks
        chosen = [(t, w) for t, w in zip(tensors, weights, strict=True) if t.dtype == dtype]
        flat = torch.cat([(t * w).flatten() for t, w in chosen])
        dist.all_reduce(flat)
        sizes = [t.numel() for t, _ in chosen]
        for (tensor, _), part in zip(chosen, torch.split(flat, sizes), strict=True):
            tensor.copy_(part.view_as(tensor))


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        whole = part.detach().clone()
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def summed(part: Tensor) -> Tensor:
    """The sum over ranks of what each has; the gradient, alike on all, goes back to every one."""
    if distributed.size() == 1:
        return part
    found: Tensor = _Summed.apply(part)
    return found


class _Lent(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        return rows.view_as(rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        whole = gradient.clone()
        dist.all_reduce(whole)
        return whole


def lent(rows: Tensor) -> Tensor:
    """Rows, alike on all ranks, of whose gradient each finds a part: these are summed."""
    if distributed.size() == 1:
        return rows
    found: Tensor = _Lent.apply(rows)
    return found


def rows_on_first(rows: Tensor, counts: Sequence[int]) -> Tensor | None:
    """All ranks' rows in rank order, in rank 0's own memory; nothing on the others.

    ``counts``: how many each has. One rank's come after the other's, so no device holds all.
    """
    if not distributed.is_first():
        dist.send(rows.contiguous(), 0)
        return None
    found = [rows.cpu()]
    for number in range(1, distributed.size()):
        part = rows.new_empty(counts[number], *rows.shape[1:])
        dist.recv(part, number)
        found.append(part.cpu())
    return torch.cat(found) if len(found) > 1 else found[0]
