"""An encoder from a file as runs of a suite: their folders, their rows, their evaluations."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sslbench.config import Tree, build, flatten, merge
from sslbench.disk import file_digest
from sslbench.errors import ConfigError, StoreError, WeightsError
from sslbench.examine import Examination
from sslbench.nn.config import EncoderConfig
from sslbench.nn.digest import tensors_digest
from sslbench.plan import apply_changes
from sslbench.protocols import suite_evaluations
from sslbench.run import EvaluationConfig
from sslbench.store import Environment, Manifest, Row, Store, now
from sslbench.suite import Suite
from sslbench.train.export import export_tensors
from sslbench.weights import Adopted, Source, WeightsConfig, adopt, described, read_tensors
from sslbench.weights.identity import manifest_config


@dataclass(frozen=True)
class Foreign:
    """An encoder from a file under one label, for one or more seeds of its evaluations."""

    label: str
    title: str
    card: Tree
    adopted: Adopted
    source: Source
    configs: tuple[WeightsConfig, ...]  # a run per seed
    evaluations: dict[str, EvaluationConfig]  # by the suite's key
    skipped: dict[str, str]  # the suite's key -> why it cannot apply

    def rows(self) -> list[Row]:
        """As the tables will read them."""
        names = {key: wanted.id for key, wanted in self.evaluations.items()}
        return [
            Row(
                label=self.label,
                seed=config.seed,
                run=config.id,
                title=self.title,
                card=self.card,
                notes=(self.source.note,),
                evaluations=names,
                skipped=self.skipped,
            )
            for config in self.configs
        ]

    def examinations(self) -> list[Examination]:
        return [
            Examination(f"{self.label} (seed {c.seed}) {key}", c.id, c.seed, c.encoder, wanted)
            for c in self.configs
            for key, wanted in self.evaluations.items()
        ]


def changed(suite: Suite, encoder: str | None, changes: Tree) -> tuple[Suite, EncoderConfig, int]:
    """The suite with ``--set``, the encoder that the file shall hold, the size of its images.

    A named encoder is timm's as it stands; without a name it is the suite's with its options.
    Raises ConfigError for a change of what only training has.
    """
    suite, own = apply_changes(suite, changes)
    other = [key for key in flatten(own) if not key.startswith(("encoder.", "pretrain.image_size"))]
    if other:
        raise ConfigError(
            f"--set {other[0]}: nothing is trained here. Of a run's settings, encoder.* and "
            "pretrain.image_size count"
        )
    base = suite.encoder if encoder is None else {"name": encoder}
    config = build(EncoderConfig, merge(base, own.get("encoder", {})), "encoder")
    size = merge(suite.pretrain, own.get("pretrain", {})).get("image_size")
    if not isinstance(size, int):
        raise ConfigError(
            f"suite {suite.name!r} leaves pretrain.image_size to the methods. Give it with --set"
        )
    return suite, config, size


def take_up(
    path: Path,
    label: str,
    suite: Suite,
    config: EncoderConfig,
    image_size: int,
    seeds: Sequence[int],
    *,
    prefix: str | None,
    allow_missing: bool,
) -> Foreign:
    """The encoder in a file, and what the suite asks of it. Raises WeightsError naming the file."""
    title, card = described(label)
    tensors = read_tensors(path)
    try:
        adopted = adopt(tensors, config, prefix=prefix, allow_missing=allow_missing)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    wanted, skipped = suite_evaluations(suite, config, image_size)
    digest = tensors_digest(adopted.encoder.state_dict())
    source = Source(
        file=path.name,
        sha256=file_digest(path),
        layout=adopted.layout,
        prefix=adopted.prefix,
        loaded=adopted.loaded,
        missing=len(adopted.missing),
        unexpected=len(adopted.unexpected),
    )
    configs = tuple(WeightsConfig(encoder=config, tensors=digest, seed=seed) for seed in seeds)
    return Foreign(label, title, card, adopted, source, configs, wanted, skipped)


def keep(store: Store, foreign: Foreign, environment: Environment) -> None:
    """Manifest and encoder of each run, where they are not there yet.

    Of two files with the same encoder, the manifest names the first. Raises StoreError if a folder
    holds another run.
    """
    tensors = foreign.adopted.encoder.state_dict()
    for config in foreign.configs:
        known = store.manifest(config.id)
        path = store.run_folder(config.id) / "encoder.safetensors"
        if known is not None and known.hash != config.hash:
            raise StoreError(
                f"{path.parent}: its manifest has hash {known.hash}, expected {config.hash}"
            )
        if not path.exists():
            export_tensors(path, tensors)
        if known is not None:
            continue
        store.write_manifest(
            Manifest(
                run=config.id,
                hash=config.hash,
                config=manifest_config(config, foreign.source),
                status="done",
                encoder_digest=config.tensors,
                parameters=sum(p.numel() for p in foreign.adopted.encoder.parameters()),
                environment=environment,
                created=now(),
            )
        )
