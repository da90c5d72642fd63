"""DINO: self-distillation with no labels.

Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV 2021,
arXiv:2104.14294. The defaults are those for a ResNet-50; the paper's views of two sizes are the
variant multicrop in dino.yaml.
"""

import math
from collections.abc import Sequence
from typing import Annotated, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import log_softmax, softmax

from sslbench.api import (
    Auto,
    Batch,
    ConfigError,
    Context,
    DataInfo,
    LossTerms,
    Method,
    Needs,
    Settings,
    register_method,
    settled,
)
from sslbench.nn import (
    Encoder,
    MomentumCopy,
    cosine_momentum,
    cross_view_entropy,
    embed_views,
    mlp,
    scaling,
    unit,
    wide,
)

PAPER_OUTPUTS = 65_536
LEAST_OUTPUTS = 1024  # the fewest that the paper tries (appendix C)
TEACHING = 2  # full-size views that the teacher sees


class DINOConfig(Settings):
    """Hyperparameters; "auto" is scaled to the data (``sslbench.nn.scaling``)."""

    dim: int = Field(256, ge=1)  # width of an embedding, the head's bottleneck
    hidden_width: int = Field(1, ge=1)  # of the head's layers, in features; 2,048 for a ResNet-50
    hidden_layers: int = Field(2, ge=0)  # of the head, before the bottleneck
    batch_norm: bool = False  # in the head
    outputs: Annotated[int, Field(ge=2)] | Auto = "auto"
    momentum: Annotated[float, Field(ge=0, lt=1)] | Auto = "auto"  # of the teacher; 1 at the end
    student_temperature: float = Field(0.1, gt=0)
    teacher_temperature: float = Field(0.04, gt=0)
    centre_momentum: float = Field(0.9, ge=0, lt=1)
    frozen_steps: Annotated[int, Field(ge=0)] | Auto = "auto"  # at first, of the last layer


class CosineLayer(nn.Module):
    """N x D -> N x K cosines with K learnt rows.

    The paper's last layer is weight-normalised and its gain fixed at 1: a linear layer without
    bias whose rows are divided by their length, here in the forward pass.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.rows = nn.Linear(inputs, outputs, bias=False)

    def forward(self, inputs: Tensor, frozen: bool = False) -> Tensor:
        rows = self.rows.weight.detach() if frozen else self.rows.weight
        with torch.autocast(inputs.device.type, enabled=False):
            return unit(inputs) @ unit(rows).T


@register_method("dino")
class DINO(Method):
    """A student matches the softmax of its own slowly following copy on other views."""

    Config = DINOConfig
    needs = Needs(views=TEACHING, local_views=True)
    version = 1

    centre: Tensor  # K, the mean of the teacher's outputs

    def __init__(self, encoder: Encoder, config: DINOConfig, data: DataInfo) -> None:
        super().__init__(encoder, config, data)
        hidden = [config.hidden_width * encoder.dim] * config.hidden_layers
        self.head = mlp(
            encoder.dim, *hidden, config.dim, batch_norm=config.batch_norm, activation=nn.GELU
        )
        self.head.apply(_initialise)
        self.last_layer = CosineLayer(config.dim, settled(config.outputs))
        self.teacher = MomentumCopy(self.encoder, self.head, self.last_layer)
        self.register_buffer("centre", torch.zeros(settled(config.outputs)))

    @classmethod
    def scaled(cls, config: DINOConfig, data: DataInfo) -> DINOConfig:
        return config.model_copy(
            update={
                "outputs": scaling.output_count(
                    config.outputs, PAPER_OUTPUTS, data.images, LEAST_OUTPUTS
                ),
                "momentum": scaling.key_momentum(config.momentum, 0.996, data.steps),
                "frozen_steps": scaling.frozen_steps(
                    config.frozen_steps, data.steps_per_epoch, data.steps
                ),
            }
        )

    def loss(self, batch: Batch, context: Context) -> LossTerms:
        config = self.config
        frozen = context.step < settled(config.frozen_steps)

        def last(embeddings: Tensor) -> Tensor:
            scores: Tensor = self.last_layer(embeddings, frozen)
            return scores

        student = embed_views(batch.views, self.encoder, self.head, last)  # N x K each
        with torch.no_grad():
            teacher = embed_views(batch.views[:TEACHING], self.teacher)  # N x K each
        loss = self_distillation(
            student, teacher, self.centre, config.student_temperature, config.teacher_temperature
        )
        mean = torch.cat(teacher).mean(0).to(self.centre)
        self.centre = self.centre.lerp(mean, 1 - config.centre_momentum)
        return {"self_distillation": loss}

    def on_step_end(self, context: Context) -> None:
        momentum = cosine_momentum(settled(self.config.momentum), context.progress)
        self.teacher.update(self.encoder, self.head, self.last_layer, momentum=momentum)

    def prototype_scores(self, images: Tensor) -> Tensor:
        scores: Tensor = self.teacher(images) - self.centre
        return scores

    def evaluated_encoder(self) -> Encoder:
        return cast(Encoder, self.teacher.copies[0])


def _initialise(module: nn.Module) -> None:
    """As the code does for inputs of 2,048, where the standard deviation is 0.02.

    A fixed 0.02 would all but silence a narrower head.
    """
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02 * math.sqrt(2048 / module.in_features))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def self_distillation(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    centre: Tensor,
    student_temperature: float,
    teacher_temperature: float,
) -> Tensor:
    """Cross-entropy of the student with the centred teacher, mean over pairs of unlike views.

    student: N x K outputs of all views; teacher: N x K of the first ones; centre: K (section 3.1,
    equation 3). Raises ConfigError where no student's view differs from a teacher's.
    """
    if not teacher or len(student) < 2:
        raise ConfigError(
            f"self_distillation of {len(student)} views of the student and {len(teacher)} of the "
            "teacher has no pair of unlike views: expected at least 2 and 1"
        )
    with torch.autocast(centre.device.type, enabled=False):
        predictions = [log_softmax(wide(view) / student_temperature, 1) for view in student]
        targets = [
            softmax((wide(view) - centre) / teacher_temperature, 1).detach() for view in teacher
        ]
        return cross_view_entropy(predictions, targets)
