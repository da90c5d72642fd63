"""From a suite's entry to an evaluation with all its values."""

from functools import cache
from typing import Any

from sslbench.api import evaluations
from sslbench.config import Tree, build, merge
from sslbench.data.spec import dataset_spec
from sslbench.errors import ConfigError
from sslbench.nn.config import EncoderConfig
from sslbench.nn.encoder import Encoder
from sslbench.registry import EVALUATIONS
from sslbench.run import EvaluationConfig, Preprocessing
from sslbench.suite import EvaluationEntry, Suite


def suite_evaluations(
    suite: Suite, encoder: EncoderConfig, image_size: int
) -> tuple[dict[str, EvaluationConfig], dict[str, str]]:
    """What applies to an encoder, resolved, and why the rest does not; both by the suite's key.

    ``image_size`` is what it is shown where the suite's entry says nothing else.
    """
    wanted: dict[str, EvaluationConfig] = {}
    skipped: dict[str, str] = {}
    for key, entry in suite.evaluations.items():
        resolved = resolve_evaluation(key, entry, suite.datasets, image_size)
        plugin = evaluations.get(resolved.evaluation)
        settings = build(plugin.Config, resolved.settings, f"evaluation {key!r}")
        reason = plugin(settings).unsupported(_probe(encoder.model_dump_json()), resolved.dataset)
        if reason is None:
            wanted[key] = resolved
        else:
            skipped[key] = reason
    return wanted, skipped


@cache
def _probe(encoder: str) -> Encoder:
    """An encoder to ask about, one per configuration."""
    return Encoder(EncoderConfig.model_validate_json(encoder))


def resolve_evaluation(
    key: str, entry: EvaluationEntry, datasets: dict[str, Tree], image_size: int
) -> EvaluationConfig:
    """An entry of a suite with all its values. Raises ConfigError naming the entry."""
    where = f"evaluation {key!r}"
    name, at, variant = entry.protocol.partition("@")
    plugin = evaluations.get(name)
    defaults = EVALUATIONS.defaults(name)
    chosen: Tree = {}
    if at:
        known: Tree = defaults.get("variants", {})
        if variant not in known:
            raise ConfigError(
                f"{where}: {name!r} has no settings {variant!r}. "
                f"Known: {', '.join(known) or 'none'}"
            )
        chosen = known[variant]
    tree: Tree = {}
    looks: Tree = {"image_size": entry.image_size or image_size}
    for layer in (defaults, chosen):
        tree = merge(tree, layer.get("settings", {}))
        looks = merge(looks, layer.get("preprocessing", {}))
    settings = build(plugin.Config, merge(tree, entry.settings), where)
    values: dict[str, Any] = settings.hashed()  # a later field at its default is no new identity
    return EvaluationConfig(
        evaluation=name,
        settings=values,
        version=plugin(settings).version,
        dataset=dataset_spec(entry.dataset, datasets),
        preprocessing=build(Preprocessing, looks, where),
    )
