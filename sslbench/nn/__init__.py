"""Parts that methods are made of; knows nothing of training.

Each name is imported from its module when it is first asked for, so that ``sslbench.nn.config``
(and with it planning, tables and ``--help``) stays free of torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sslbench.nn.bank import MemoryBank
    from sslbench.nn.batchnorm import shuffled
    from sslbench.nn.chances import Chances
    from sslbench.nn.clustering import (
        Clusters,
        Level,
        hierarchical_kmeans,
        independent_kmeans,
        kmeans,
    )
    from sslbench.nn.config import EncoderConfig
    from sslbench.nn.encoder import Encoder
    from sslbench.nn.heads import head_artifacts, mlp
    from sslbench.nn.losses import (
        batch_info_nce,
        cross_entropy_of_first,
        info_nce,
        negative_cosine,
        nt_xent,
        proto_nce,
        unit,
        wide,
    )
    from sslbench.nn.memory import FeatureQueue
    from sslbench.nn.momentum import MomentumCopy, cosine_momentum
    from sslbench.nn.multicrop import cross_view_entropy, embed_views
    from sslbench.nn.nce import Normaliser, bank_info_nce, bank_logits, bank_nce
    from sslbench.nn.products import drawn_products
    from sslbench.nn.selection import PrototypeSelection, QueueSelection
    from sslbench.nn.sinkhorn import sinkhorn_knopp

__all__ = [
    "Chances",
    "Clusters",
    "Encoder",
    "EncoderConfig",
    "FeatureQueue",
    "Level",
    "MemoryBank",
    "MomentumCopy",
    "Normaliser",
    "PrototypeSelection",
    "QueueSelection",
    "bank_info_nce",
    "bank_logits",
    "bank_nce",
    "batch_info_nce",
    "cosine_momentum",
    "cross_entropy_of_first",
    "cross_view_entropy",
    "drawn_products",
    "embed_views",
    "head_artifacts",
    "hierarchical_kmeans",
    "independent_kmeans",
    "info_nce",
    "kmeans",
    "mlp",
    "negative_cosine",
    "nt_xent",
    "proto_nce",
    "shuffled",
    "sinkhorn_knopp",
    "unit",
    "wide",
]

_HOMES = {
    "Chances": "chances",
    "Clusters": "clustering",
    "Encoder": "encoder",
    "EncoderConfig": "config",
    "FeatureQueue": "memory",
    "Level": "clustering",
    "MemoryBank": "bank",
    "MomentumCopy": "momentum",
    "Normaliser": "nce",
    "PrototypeSelection": "selection",
    "QueueSelection": "selection",
    "bank_info_nce": "nce",
    "bank_logits": "nce",
    "bank_nce": "nce",
    "batch_info_nce": "losses",
    "cosine_momentum": "momentum",
    "cross_entropy_of_first": "losses",
    "cross_view_entropy": "multicrop",
    "drawn_products": "products",
    "embed_views": "multicrop",
    "head_artifacts": "heads",
    "hierarchical_kmeans": "clustering",
    "independent_kmeans": "clustering",
    "info_nce": "losses",
    "kmeans": "clustering",
    "mlp": "heads",
    "negative_cosine": "losses",
    "nt_xent": "losses",
    "proto_nce": "losses",
    "shuffled": "batchnorm",
    "sinkhorn_knopp": "sinkhorn",
    "unit": "losses",
    "wide": "losses",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
