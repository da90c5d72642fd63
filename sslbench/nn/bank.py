"""A memory of every training image's embedding, of which ranks hold a part each.

Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination",
arXiv:1805.01978, section 3.1.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from sslbench import collectives, distributed
from sslbench.nn.losses import wide
from sslbench.nn.nce import bank_logits, check_bank, scaled_cosines


class MemoryBank(nn.Module):
    """One unit embedding per training image, random until the image has been seen.

    Ranks that share a run hold a part of the rows each, in rank order. What they are asked is the
    same on all, and so is the answer: a method reads through ``logits`` and ``whole``.
    """

    features: Tensor  # the images of this rank x dim

    def __init__(self, images: int, dim: int) -> None:
        super().__init__()
        self.images = images
        self.parts = distributed.parts(images)
        # Paper: unit vectors; code: uniform numbers, of unit length in expectation only. All ranks
        # draw all rows, so that they are those of one process.
        drawn = normalize(torch.randn(images, dim))
        self.register_buffer("features", drawn if self._is_whole else drawn[self._rows].clone())
        self.register_load_state_dict_pre_hook(_own_rows)  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        """The images, of all ranks."""
        return self.images

    @property
    def _rows(self) -> slice:
        return self.parts[distributed.rank()]

    @property
    def _is_whole(self) -> bool:
        return len(self.parts) == 1

    @torch.no_grad()
    def update(self, index: Tensor, features: Tensor, momentum: float = 0.0) -> None:
        """The rows ``index`` become ``momentum`` of themselves and the rest of ``features``.

        index: N different images; features: N x dim; the rows stay of unit length. In place, for a
        bank may be large: what the backward pass still needs of it must be a copy.
        """
        if not self._is_whole:
            own = (index >= self._rows.start) & (index < self._rows.stop)
            index, features = index[own] - self._rows.start, features[own]
        mixed = self.features[index].lerp(features.detach().to(self.features), 1 - momentum)
        self.features.index_copy_(0, index, normalize(mixed))

    def logits(self, query: Tensor, columns: Tensor | None, temperature: float) -> Tensor:
        """``bank_logits`` of N x D unit queries and the images ``columns``: N x (1 + m).

        Each rank finds those of its own rows. Raises ConfigError without negatives.
        """
        if self._is_whole:
            return bank_logits(query, self.features, columns, temperature)
        check_bank(self.images if columns is None else columns.shape[1], temperature)
        rows = self._rows
        query = collectives.lent(wide(query))
        if columns is None:
            own = scaled_cosines(query, self.features, None, temperature)
            return collectives.summed(pad(own, (rows.start, self.images - rows.stop)))
        here = (columns >= rows.start) & (columns < rows.stop)
        places = torch.where(here, columns - rows.start, 0)
        own = scaled_cosines(query, self.features, places, temperature)
        return collectives.summed(torch.where(here, own, 0.0))

    def whole(self) -> Tensor:
        """All images x dim, for all ranks to ask at once."""
        if self._is_whole:
            return self.features
        return collectives.gathered_parts(self.features, self._counts, self.features.device)

    def on_first(self) -> Tensor | None:
        """All images x dim in rank 0's own memory, for all ranks to ask at once."""
        return collectives.rows_on_first(self.features, self._counts)

    @property
    def _counts(self) -> list[int]:
        return [part.stop - part.start for part in self.parts]


def _own_rows(bank: MemoryBank, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """A checkpoint has all rows, whatever the number of ranks that wrote it."""
    name = f"{prefix}features"
    if name in state:
        state[name] = state[name][bank._rows]


def whole_state(module: nn.Module) -> dict[str, Any] | None:
    """The state of one process, on rank 0; for all ranks to ask at once."""
    state = module.state_dict()
    for name, part in module.named_modules():
        if isinstance(part, MemoryBank):
            state[f"{name}.features"] = part.on_first()
    return state if distributed.is_first() else None


def whole_bytes(module: nn.Module) -> int:
    """How large that is."""
    banks = [part for part in module.modules() if isinstance(part, MemoryBank)]
    others = sum((len(bank) - len(bank.features)) * bank.features[0].nbytes for bank in banks)
    own: int = sum(tensor.nbytes for tensor in module.state_dict().values())
    return own + others
