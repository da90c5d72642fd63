"""Products of each row with the rows that were drawn for it, and their gradient.

The scores of InfoNCE with sampled negatives (van den Oord et al., arXiv:1807.03748, equation 4).
All R x K rows at once would be D times as large as the products; one draw of all rows at a time
goes through memory once for every operation. Here a block of them is gathered into the cache,
and the gradient is summed without being written out.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

_BLOCK = 1 << 19  # numbers that are gathered at once: 2 MiB in fp32


def drawn_products(query: Tensor, target: Tensor, drawn: Tensor) -> Tensor:
    """Row i of ``query`` times each of the rows ``drawn[i]`` of ``target``: R x K.

    query: R x D; target: M x D, of the same type; drawn: R x K row numbers, of which one may occur
    more than once.
    """
    products: Tensor = _DrawnProducts.apply(query, target, drawn)
    return products


class _DrawnProducts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, target: Tensor, drawn: Tensor) -> Tensor:
        ctx.save_for_backward(query, target, drawn)
        count, dim = drawn.shape[1], query.shape[1]
        rows = max(1, _BLOCK // (count * dim))
        products = query.new_empty(drawn.shape)
        for block, own, found in zip(
            torch.split(drawn, rows),
            torch.split(query, rows),
            torch.split(products, rows),
            strict=True,
        ):
            gathered = target.index_select(0, block.flatten()).view(-1, count, dim)
            found.copy_((own[:, None] @ gathered.transpose(1, 2))[:, 0])
        return products

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        query, target, drawn = ctx.saved_tensors
        of_query = embedding_bag(drawn, target, mode="sum", per_sample_weights=gradient)
        # For each target the queries that drew it: sums by target, in a fixed order.
        ordered, places = drawn.flatten().sort(stable=True)
        of_target = embedding_bag(
            places // drawn.shape[1],
            query,
            torch.searchsorted(ordered, torch.arange(len(target), device=drawn.device)),
            mode="sum",
            per_sample_weights=gradient.flatten()[places],
        )
        return of_query, of_target, None
