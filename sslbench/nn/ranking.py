"""Whole rankings by cosine, a block of queries at a time, where the nearest are not enough.

What is held at once are the similarities of a block of queries with the whole gallery; both may be
mapped from files. The cost grows with queries x gallery x (width + log gallery), and the gallery is
read once per block: one larger than the memory is better searched for its nearest (search.py).
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import normalize

SIMILARITIES = 2**26  # of a block of queries with the whole gallery: 256 MiB
NUMBERS = 2**25  # of a block of the gallery: 128 MiB
SORTED = 2**20  # similarities sorted at once: their keys take 8 MiB


def queries_at_once(gallery: int) -> int:
    """How many queries a block has, of a gallery of so many rows."""
    return max(1, SIMILARITIES // gallery)


def rankings(
    queries: Tensor, gallery: Tensor, device: torch.device, own: Tensor | None = None
) -> Iterator[Tensor]:
    """Positions in the gallery from the nearest on, some queries at a time: n x M each.

    ``queries``: one block, N x D; ``gallery``: M x D, float32; a row of zeros has cosine 0 with
    every other. Of equal cosines the lower position comes first. ``own``: N, where queries are
    themselves in the gallery; they are left out of their own rankings, which are n x (M - 1).
    """
    unit = normalize(queries.to(device))
    similarity = torch.empty(len(queries), len(gallery), device=device)
    rows = max(1, NUMBERS // gallery.shape[1])
    for start in range(0, len(gallery), rows):
        block = slice(start, start + rows)
        similarity[:, block] = unit @ normalize(gallery[block].to(device)).T
    if own is not None:
        similarity[torch.arange(len(own), device=device), own.to(device)] = -torch.inf
    for some in torch.split(similarity, max(1, SORTED // len(gallery))):
        order = _order(some)
        yield order if own is None else order[:, :-1]


def _order(similarity: Tensor) -> Tensor:
    """Columns of each row from the largest number on, of equal ones the lower first.

    A stable sort that carries positions along takes five times as long as one of plain integers: so
    the bits of a number are the upper half of one, turned to ascend as it falls, and its column the
    lower half.
    """
    bits = (similarity + 0.0).view(torch.int32)  # -0 becomes 0
    ascending = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    columns = torch.arange(similarity.shape[1], device=similarity.device)
    keys = ((~ascending).long() << 32) | columns
    if keys.device.type == "cpu":
        keys.numpy().sort(axis=1)  # in place, and faster than torch
    else:
        keys = keys.sort(dim=1).values
    return keys & 0xFFFFFFFF
