"""Soft assignments in which every prototype gets the same share of the samples.

Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments",
arXiv:2006.09882, section 3.1; the algorithm is that of Cuturi, "Sinkhorn Distances",
arXiv:1306.0895.
"""

import torch
from torch import Tensor

from sslbench.errors import ConfigError


@torch.no_grad()
def sinkhorn_knopp(scores: Tensor, epsilon: float, rounds: int = 3) -> Tensor:
    """N x M scores of samples at prototypes -> N x M assignments; each row sums to 1.

    exp(scores / epsilon), scaled in turns so that prototypes and then samples have equal masses;
    the prototypes' are equal in the limit of many rounds. Computed as logarithms, so that scores of
    any size give numbers, in fp32 at least. Raises ConfigError for an epsilon that is not positive
    or for no round.
    """
    if not epsilon > 0 or rounds < 1:
        raise ConfigError(
            f"sinkhorn_knopp with epsilon = {epsilon} and {rounds} rounds: expected a positive "
            "epsilon, such as 0.05, and at least one round"
        )
    wide = scores if scores.dtype == torch.float64 else scores.float()
    logs = wide / epsilon  # changed in place from here on
    # Factors that all entries share (the number of samples, of prototypes) drop out of the rows.
    for _ in range(rounds):
        logs -= logs.logsumexp(0)
        logs -= logs.logsumexp(1, keepdim=True)
    return logs.exp_()
