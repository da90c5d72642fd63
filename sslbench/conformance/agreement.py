"""Does a card say what the method is made of?"""

from torch import nn

from sslbench.api import Method
from sslbench.card import FAMILIES, Card
from sslbench.errors import PluginError
from sslbench.nn.bank import MemoryBank
from sslbench.nn.clustering import Clusters
from sslbench.nn.memory import FeatureQueue
from sslbench.nn.momentum import MomentumCopy

NEGATIVES = ("batch", "queue", "memory bank", "prototypes", "none")
MEMORIES = {"queue": FeatureQueue, "memory bank": MemoryBank}


def check_card(card: Card, method: Method, own: bool) -> None:
    """Raises PluginError that lists all on which card and modules disagree.

    ``own``: the method is one of ours; a third party may have a word of its own for its family.
    """
    faults = _words(card, own)

    def compare(key: str, says: bool, kind: type[nn.Module]) -> None:
        has = any(isinstance(module, kind) for module in method.modules())
        if says != has:
            what = f"{'a' if has else 'no'} {kind.__name__} among the modules"
            faults.append(f"{key}: {getattr(card, key)}, but {what}")

    compare("momentum_encoder", card.momentum_encoder, MomentumCopy)
    for word, kind in MEMORIES.items():
        compare("memory", card.memory == word, kind)
    # Prototypes need not be k-means's: SwAV learns its own, and hands them over as an artifact.
    handed = [name for name in method.artifacts() if name.startswith("prototypes")]
    if not handed or not card.clustering:
        compare("clustering", card.clustering, Clusters)
    if handed and not card.clustering:
        faults.append(f"clustering: False, but an artifact {handed[0]}")
    if faults:
        raise PluginError("the card says " + "; ".join(faults))


def _words(card: Card, own: bool) -> list[str]:
    """Where the card contradicts itself, or the survey's words."""
    faults = []
    if card.negatives not in NEGATIVES:
        faults.append(f"negatives: {card.negatives}, which is none of {', '.join(NEGATIVES)}")
    if card.negatives in MEMORIES and card.memory != card.negatives:
        faults.append(f"negatives: {card.negatives}, but memory: {card.memory}")
    if own and card.family not in FAMILIES:
        faults.append(f"family: {card.family}, which is none of {', '.join(FAMILIES)}")
    if card.family == "clustering" and not card.clustering:
        faults.append("family: clustering, but clustering: false")
    return faults
