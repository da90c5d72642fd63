"""The two reserved rows of every table: an untrained encoder, and one trained with labels.

Neither is a plugin. ``Supervised`` goes through the same loop, loader, encoder and optimiser as
every method; it alone is handed labels, by the runner.
"""

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sslbench.api.method import Batch, Context, DataInfo, LossTerms, Method, Needs, ParamGroup
from sslbench.config import Settings
from sslbench.nn.encoder import Encoder


class NoSettings(Settings):
    """Baselines have none."""


class Random(Method):
    """The encoder as it was initialised; the plan gives it no step."""

    Config = NoSettings
    needs = Needs(views=1)

    def loss(self, batch: Batch, context: Context) -> LossTerms:
        raise AssertionError("the random baseline is not trained")

    def param_groups(self) -> list[ParamGroup]:
        return [ParamGroup(list(self.encoder.parameters()))]


class Supervised(Method):
    """Cross-entropy of a linear head on the finest labels, on the first view."""

    Config = NoSettings
    needs = Needs(views=1)

    labels: Tensor

    def __init__(
        self, encoder: Encoder, config: NoSettings, data: DataInfo, labels: Tensor, classes: int
    ) -> None:
        super().__init__(encoder, config, data)
        self.head = nn.Linear(encoder.dim, classes)
        self.register_buffer("labels", labels, persistent=False)  # N, one per training image

    def loss(self, batch: Batch, context: Context) -> LossTerms:
        logits = self.head(self.encoder(batch.views[0]))  # N x classes
        return {"cross_entropy": cross_entropy(logits.float(), self.labels[batch.index])}
