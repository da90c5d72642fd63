"""What rank 0 tells the other ranks of a run to do."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from sslbench.api import Split
from sslbench.data.spec import DatasetSpec
from sslbench.nn.config import EncoderConfig
from sslbench.run import Preprocessing


@dataclass(frozen=True)
class Pretrain:
    """Train a run of the plan along with it."""

    run: str


@dataclass(frozen=True)
class Encode:
    """Encode batches of a split in turn with it."""

    encoder: EncoderConfig
    weights: Mapping[str, Tensor]
    dataset: DatasetSpec
    split: Split
    layer: int
    preprocessing: Preprocessing
    start: int  # the first image that is not encoded yet


@dataclass(frozen=True)
class End:
    """Nothing more comes."""
