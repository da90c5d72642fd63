"""A run: one method, one variant, one seed, with every value resolved, and the hash that it is."""

from typing import Any, Literal

from pydantic import Field, model_validator

from sslbench.config import Settings, Tree, fingerprint
from sslbench.data.recipe import Recipe, ViewConfig
from sslbench.data.spec import DatasetSpec
from sslbench.nn.config import EncoderConfig

TRAINER_VERSION = 1  # bumped by hand when the loop, the optimisers or the schedules change numbers
VIEWS_VERSION = 1  # the same for augmentations and loaders

BASELINES = ("random", "supervised")  # reserved row names, not plugins
WEIGHTS: Literal["weights"] = "weights"  # the method of a run whose encoder came out of a file


class OptimConfig(Settings):
    """Optimiser and learning-rate schedule of pre-training."""

    name: Literal["sgd", "lars", "adamw"] = "sgd"
    lr: float = Field(gt=0)  # at a batch of lr_per_batch
    lr_per_batch: int | None = Field(256, ge=1)  # null: lr is not scaled with the batch
    lr_scaling: Literal["linear", "sqrt"] = "linear"
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0)
    decay_norms: bool = True  # whether biases and norms decay too
    trust: float = Field(0.001, gt=0)  # LARS only
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    per_step: bool = True  # False: the rate changes at epochs only, as in the MoCo family's code
    milestones: tuple[float, ...] = ()  # of "step", as fractions of the run; x 0.1 each
    warmup_epochs: float = Field(0.0, ge=0)
    final_lr: float = Field(0.0, ge=0)  # as a share of the peak
    clip: float | None = Field(None, gt=0)  # gradient norm

    @model_validator(mode="after")
    def _milestones_fit(self) -> "OptimConfig":
        if (self.schedule == "step") != bool(self.milestones):
            raise ValueError("schedule: step needs milestones, and only it has them")
        if list(self.milestones) != sorted(self.milestones) or any(
            not 0 < m < 1 for m in self.milestones
        ):
            raise ValueError("milestones are increasing fractions of the run, between 0 and 1")
        return self


class PretrainConfig(Settings):
    """What a method is trained on, and for how long."""

    dataset: DatasetSpec
    epochs: int = Field(ge=0)
    steps: int | None = Field(None, ge=1)  # stop after so many steps of each epoch (trials)
    batch_size: int = Field(ge=2)  # global
    image_size: int = Field(ge=8)
    augment: Recipe
    views: tuple[ViewConfig, ...] = Field((ViewConfig(), ViewConfig()), min_length=1)
    views_path: Literal["batched", "workers"]  # on the training device, or in worker processes
    optim: OptimConfig
    precision: Literal["fp32", "bf16", "fp64"] = "fp32"

    @property
    def full_views(self) -> int:
        return sum(view.repeat for view in self.views if view.is_full)


def run_name(method: str, encoder: str, seed: int, hash: str) -> str:
    """The name of a run's folder."""
    return f"{method}-{encoder.replace('/', '_').replace(':', '_')}-s{seed}-{hash[:16]}"


class RunConfig(Settings):
    """Everything that changes numbers. Paths, workers and devices are not here."""

    method: str
    params: dict[str, Any]
    seed: int = Field(ge=0)
    encoder: EncoderConfig
    pretrain: PretrainConfig
    versions: dict[str, int]  # of method, trainer, views and the embedded data's generator

    @property
    def hash(self) -> str:
        return fingerprint(self.hashed())

    @property
    def id(self) -> str:
        """The run's folder: readable, and decided by the hash."""
        return run_name(self.method, self.encoder.name, self.seed, self.hash)

    def hashed(self) -> Tree:
        tree = super().hashed()
        # The name of a data set is a label; what it holds is its identity.
        tree["pretrain"]["dataset"].pop("name")
        return tree


class EvaluationConfig(Settings):
    """One resolved evaluation: which protocol, with which settings, on what."""

    evaluation: str  # the plugin
    settings: dict[str, Any]
    version: int
    dataset: DatasetSpec
    preprocessing: "Preprocessing"

    @property
    def hash(self) -> str:
        return fingerprint(self.hashed())

    @property
    def id(self) -> str:
        """The name of the record within its run."""
        return f"{self.evaluation}-{self.dataset.name}-{self.hash[:16]}"


class Preprocessing(Settings):
    """How images reach a frozen encoder."""

    image_size: int = Field(ge=8)
    crop_fraction: float = Field(224 / 256, gt=0, le=1)  # centre crop as a share of the short side
    filter: Literal["bilinear", "bicubic"] = "bilinear"


EvaluationConfig.model_rebuild()
