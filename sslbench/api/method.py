"""The contract of a pre-training method: views in, named loss terms out, never a label."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from torch import Tensor, nn

from sslbench.config import Settings
from sslbench.nn.chances import Chances
from sslbench.nn.encoder import Encoder

LossTerms = dict[str, Tensor]  # named terms; the trainer minimises their sum and logs each


@dataclass(frozen=True)
class Batch:
    """Views and positions, never labels."""

    views: tuple[
        Tensor, ...
    ]  # N x 3 x H x W each, in [0, 1], full-size first; patches N x P x 3 x h x w
    index: Tensor  # N, position of each image in the training set


@dataclass(frozen=True)
class DataInfo:
    """What a method may know before training."""

    images: int
    batch_size: int  # global
    image_size: int
    epochs: int
    steps_per_epoch: int

    @property
    def steps(self) -> int:
        return self.epochs * self.steps_per_epoch


@dataclass(frozen=True)
class Needs:
    """Checked against ``pretrain.views`` and the encoder while planning."""

    views: int = 2  # at least so many full-size views
    local_views: bool = False  # smaller crops may follow
    patches: Literal["none", "jigsaw", "grid"] = "none"
    grid: int | None = None  # cells of a side of the patches; None: any
    input: Literal["rgb", "lab_split"] = "rgb"
    norm: Literal["batch", "group"] | None = None


@dataclass(frozen=True)
class ParamGroup:
    """Parameters that the optimiser treats alike."""

    params: list[nn.Parameter]
    weight_decay: float | None = None  # None: the suite's
    lr_scale: float = 1.0
    constant_lr: bool = False  # no schedule (SimSiam's predictor)
    name: str = field(default="all")


class Context(Protocol):
    """What the trainer lends a method.

    All randomness of a method comes from here. It is drawn from (run seed, step, number of the
    call) for the whole batch, so a resumed run draws the same; golden tests replay recorded draws.
    """

    epoch: int  # from 0
    epochs: int
    step: int  # from 0, over all epochs
    steps: int

    @property
    def progress(self) -> float:
        """``step / steps``."""
        ...

    def rand(self, rows: int, *shape: int) -> Tensor:
        """Uniforms in [0, 1), rows x shape."""
        ...

    def bernoulli(self, probability: Tensor | Chances, rows: Tensor) -> Tensor:
        """N x K, True with the probability ``probability[rows[i], k]``, each on its own.

        probability: M x K, as ``Chances`` where it serves many calls; rows: N, of M. Far quicker
        than comparing uniforms.
        """
        ...

    def integers(self, high: int, rows: int, *shape: int) -> Tensor:
        """Integers in [0, high), rows x shape."""
        ...

    def choice(self, n: int, k: int) -> Tensor:
        """``k`` different integers out of [0, n), in random order."""
        ...

    def permutation(self, n: int) -> Tensor: ...

    def embed(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """``function`` of every training image: M x D in data set order, no duplicates.

        Centre view, no gradient, all of the method's modules in eval mode, so the buffers of batch
        norm stay as they are.
        """
        ...

    def log(self, name: str, value: Tensor | float) -> None:
        """Kept on the device and read once per log interval: costs no synchronisation per step."""
        ...


class Method(nn.Module, ABC):
    """A pre-training method. All state is a parameter or a buffer of its final shape."""

    Config: ClassVar[type[Settings]]
    needs: ClassVar[Needs] = Needs()
    version: ClassVar[int] = 1  # bumped by hand when numbers change; part of a run's hash

    def __init__(self, encoder: Encoder, config: Any, data: DataInfo) -> None:
        super().__init__()
        self.encoder, self.config, self.data = encoder, config, data

    @classmethod
    def needs_of(cls, config: Any) -> Needs:
        """What these settings need; by default what the class says. Pure, called while planning."""
        del config
        return cls.needs

    @classmethod
    def scaled(cls, config: Any, data: DataInfo) -> Any:
        """The settings with every "auto" turned into a number.

        Pure, called while planning. Raises ConfigError for values that cannot work with this data,
        naming the rule and the nearest value that does.
        """
        del data
        return config

    @abstractmethod
    def loss(self, batch: Batch, context: Context) -> LossTerms:
        """The named terms of one step; may update queues, banks and momentum copies."""

    def param_groups(self) -> list[ParamGroup]:
        """All trainable parameters, grouped. By default one group."""
        return [ParamGroup([p for p in self.parameters() if p.requires_grad])]

    def on_epoch_start(self, context: Context) -> None:
        """For example: cluster the training set."""

    def on_step_end(self, context: Context) -> None:
        """For example: normalise prototypes."""

    def evaluated_encoder(self) -> Encoder:
        """The encoder that is exported; DINO returns its teacher's."""
        return self.encoder

    def prototype_scores(self, images: Tensor) -> Tensor | None:
        """N x M: how near images (N x 3 x H x W) are to M prototypes that are learnt.

        For the run's health only; called in eval mode, without gradient. ``Clusters`` are found
        without it.
        """
        del images
        return None

    def artifacts(self) -> dict[str, Tensor]:
        """What is saved beside the encoder, such as prototypes and their parents."""
        return {}
