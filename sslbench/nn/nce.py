"""Losses of embeddings against a memory bank: each query has its own positive and its own draw.

Binary noise-contrastive estimation is that of Wu et al., "Unsupervised Feature Learning via
Non-Parametric Instance Discrimination", CVPR 2018, arXiv:1805.01978, section 3.2; the softmax over
the same columns is InfoNCE (van den Oord et al., arXiv:1807.03748, equation 4). Both take logits,
cosine similarities over a temperature, whose column 0 is the positive.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from sslbench.errors import ConfigError
from sslbench.nn.losses import check_temperature, cross_entropy_of_first, wide

# Rows of a bank per column drawn, up to which one product with all rows costs less than a gather
# of the drawn ones: it computes more and moves less (measured on a CPU with rows of 128 numbers).
WHOLE_BANK = 64


def bank_logits(query: Tensor, bank: Tensor, columns: Tensor | None, temperature: float) -> Tensor:
    """N queries against the rows ``columns`` of a bank, over the temperature: N x (1 + m).

    query: N x D and bank: M x D, unit rows; columns: N x (1 + m), each query's own row first, or
    None for all M rows in their order. The bank may change in place afterwards: what the backward
    pass needs of it is a copy. Raises ConfigError without negatives.
    """
    check_bank(len(bank) if columns is None else columns.shape[1], temperature)
    return scaled_cosines(query, bank, columns, temperature)


def check_bank(columns: int, temperature: float) -> None:
    """Raises ConfigError where there is nothing to compare with."""
    check_temperature(temperature)
    if columns < 2:
        raise ConfigError(
            "bank_logits without negatives: draw at least one row of the bank beside the positive"
        )


def scaled_cosines(
    query: Tensor, bank: Tensor, columns: Tensor | None, temperature: float
) -> Tensor:
    """``bank_logits``, whatever there is to compare with."""
    with torch.autocast(query.device.type, enabled=False):
        query = wide(query) / temperature
        bank = bank.detach().to(query.dtype)
        if columns is not None and len(bank) > WHOLE_BANK * columns.shape[1]:
            return (bank[columns] @ query[:, :, None]).squeeze(2)  # the gather is the copy
        logits = query @ bank.clone().T  # N x M
        return logits if columns is None else logits.gather(1, columns)


class Normaliser(nn.Module):
    """The constant Z of NCE: estimated from the first logits that it is given, frozen afterwards.

    Or, with ``frozen=False``, no constant but every batch's own estimate. It is kept as a
    logarithm, for at a temperature of 0.01 it can exceed what fp32 holds.
    """

    log: Tensor  # log Z; 0 until it is ready
    ready: Tensor  # whether a batch has been seen

    def __init__(self, frozen: bool = True) -> None:
        super().__init__()
        self.frozen = frozen
        self.register_buffer("log", torch.zeros(()))
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def forward(self, logits: Tensor, images: int) -> Tensor:
        """log Z, no gradient: Z is images x the mean of exp(logits) over a batch's N x (1 + m)."""
        logits = wide(logits)
        estimate = logits.logsumexp((0, 1)) + math.log(images / logits.numel())
        if self.frozen:  # selected on the device: a branch would wait for it at every step
            estimate = torch.where(self.ready, self.log, estimate.to(self.log))
        self.log.copy_(estimate)
        self.ready.fill_(True)
        return self.log.clone()


def bank_nce(logits: Tensor, log_normaliser: Tensor, images: int, epsilon: float = 1e-7) -> Tensor:
    """Tells a positive from m draws of uniform noise: summed over draws, the mean over queries.

    logits: N x (1 + m). With P = exp(logit) / Z and noise c = m / images, the loss of a query is
    -log(P / (P + c + epsilon)) of its positive plus -log(c / (P + c + epsilon)) of every negative.
    Paper: no epsilon; code: as here. Raises ConfigError without negatives.
    """
    negatives = _drawn(logits)
    with torch.autocast(logits.device.type, enabled=False):
        noise = negatives / images
        # The log odds of data against noise, from which a sigmoid makes the probabilities.
        odds = wide(logits) - log_normaliser - math.log(noise + epsilon)  # N x (1 + m)
        positive, negative = logsigmoid(odds[:, 0]), logsigmoid(-odds[:, 1:]).sum(1)  # N each
        return negatives * math.log1p(epsilon / noise) - (positive + negative).mean()


def bank_info_nce(logits: Tensor) -> Tensor:
    """Cross-entropy that picks column 0 of N x (1 + m) logits. Raises ConfigError without m."""
    _drawn(logits)
    with torch.autocast(logits.device.type, enabled=False):
        return cross_entropy_of_first(wide(logits))


def _drawn(logits: Tensor) -> int:
    """How many negatives each row has."""
    negatives = logits.shape[1] - 1
    if negatives < 1:
        raise ConfigError(
            f"logits of {logits.shape[1]} columns have no negative: draw at least one row of the "
            "bank beside the positive"
        )
    return negatives
