"""Suite x methods x seeds -> runs with every value resolved, and all faults before any training.

Who wins, lowest first: defaults of the settings classes, the method's YAML, the suite, the suite's
exceptions for that method, a variant, ``--set``, and the rules that turn "auto" into numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sslbench.api import DataInfo, Method, Needs, methods
from sslbench.card import build_card, by_family, variant_of
from sslbench.config import Settings, Tree, build, canonical, flatten, merge, origins
from sslbench.data.recipe import Recipe, layered, recipe
from sslbench.data.spec import DatasetSpec, dataset_spec
from sslbench.errors import ConfigError, SSLBenchError, all_faults
from sslbench.needs import check_needs
from sslbench.nn.config import EncoderConfig
from sslbench.protocols import suite_evaluations
from sslbench.registry import METHODS
from sslbench.run import (
    BASELINES,
    TRAINER_VERSION,
    VIEWS_VERSION,
    EvaluationConfig,
    OptimConfig,
    PretrainConfig,
    RunConfig,
)
from sslbench.suite import Suite

HELD_BYTES = 2 * 1024**3  # training images up to this size are kept in memory as uint8

# Where a suite leaves recipe or optimiser to the methods, the baselines have none of their own.
BASELINE_DEFAULTS: Tree = {
    "pretrain": {
        "augment": "crop",
        "optim": {"name": "sgd", "lr": 0.1, "lr_per_batch": 256, "weight_decay": 1.0e-4},
    }
}
BASELINE_TITLES = {"random": "Random initialisation", "supervised": "Supervised"}


class _NoParams(Settings):
    """The baselines have no parameters."""


@dataclass(frozen=True)
class Planned:
    """One run of the plan."""

    label: str  # hcsc@released-code
    title: str
    card: Tree
    config: RunConfig
    data: DataInfo
    evaluations: dict[str, EvaluationConfig]  # by the suite's key
    skipped: dict[str, str]  # the suite's key -> why it cannot apply
    notes: tuple[str, ...]  # exceptions, shown under the table
    origins: dict[str, str]  # dotted key -> the layer it came from


@dataclass(frozen=True)
class Environs:
    """What the plan has to know of the machine and the data."""

    bf16: bool | None  # whether the device has it natively; None: no one can ask it from here
    count: Callable[[DatasetSpec], int]  # training images of a set whose spec does not say


def apply_changes(suite: Suite, changes: Tree) -> tuple[Suite, Tree]:
    """``--set`` split into what changes the suite itself and what changes every run.

    Raises ConfigError for a first key that is neither.
    """
    run_keys = ("params", "encoder", "pretrain")
    suite_keys = ("datasets", "evaluations", "tables", "title", "baselines")
    unknown = [key for key in changes if key not in run_keys + suite_keys]
    if unknown:
        raise ConfigError(
            f"--set {unknown[0]}: unknown. Keys begin with {', '.join(run_keys + suite_keys)}"
        )
    own = {k: v for k, v in changes.items() if k in suite_keys}
    tree = merge(suite.model_dump(mode="json"), own)
    changed = build(Suite, tree, f"suite {suite.name!r} with --set")
    return changed, {k: v for k, v in changes.items() if k in run_keys}


def expand(selectors: Sequence[str]) -> list[str]:
    """``hcsc@*`` and ``all`` as labels, in order, once each. Raises UnknownPluginError."""
    labels: list[str] = []
    for selector in selectors:
        name, at, variant = selector.partition("@")
        if name == "all" and not at:
            labels += by_family()
        elif variant == "*":
            labels += [name, *(f"{name}@{v}" for v in METHODS.defaults(name).get("variants", {}))]
        else:
            labels.append(selector)
    return list(dict.fromkeys(labels))


def plan(
    suite: Suite,
    selectors: Sequence[str],
    seeds: Sequence[int],
    changes: Tree,
    environs: Environs,
) -> list[Planned]:
    """Every run of a suite. Raises ConfigError that lists all faults of all rows."""
    suite, run_changes = apply_changes(suite, changes)
    faults: list[str] = []
    rows: list[Planned] = []
    try:
        labels = expand(selectors)
        check_exceptions(suite)
    except SSLBenchError as error:
        raise ConfigError(str(error)) from error
    labels = [*labels, *(b for b in suite.baselines if b not in labels)]
    for label in labels:
        for seed in seeds:
            try:
                rows.append(plan_row(suite, label, seed, run_changes, environs))
            except SSLBenchError as error:
                # A fault of an evaluation is the suite's, and every row has it.
                named = label in str(error) or str(error).startswith("evaluation ")
                faults.append(str(error) if named else f"{label}: {error}")
                break  # another seed has the same faults
    if faults:
        faults = list(dict.fromkeys(faults))
        raise ConfigError(all_faults(faults, f"suite {suite.name!r}: {len(faults)} faults"))
    return rows


def plan_row(suite: Suite, label: str, seed: int, changes: Tree, environs: Environs) -> Planned:
    """One run of a suite. Raises an SSLBenchError for what cannot work."""
    name, _, variant = label.partition("@")
    layers, card = _layers(suite, name, variant, changes)
    tree: Tree = {}
    for _, layer in layers:
        tree = layered(tree, layer)
    if name == "random":
        tree = merge(tree, {"pretrain": {"epochs": 0}})
    encoder = build(EncoderConfig, tree.get("encoder", {}), f"{label}: encoder")
    pretrain = _pretrain(suite, tree.get("pretrain", {}), label, environs)
    data = _data_info(pretrain, environs)
    unscaled, params, needs = _params(name, label, tree.get("params", {}), data)
    if needs is not None:
        check_needs(label, needs, pretrain, encoder)
    config = RunConfig(
        method=name,
        params=params,
        seed=seed,
        encoder=encoder,
        pretrain=pretrain,
        versions=_versions(name, pretrain.dataset),
    )
    wanted, skipped = suite_evaluations(suite, encoder, pretrain.image_size)
    standing = origins(layers)
    found = dict(standing)
    ruled = {
        "pretrain": {key: tree["pretrain"].get(key, "auto") for key in ("precision", "views_path")}
    }
    for key, value in flatten({"params": unscaled, **ruled}).items():
        if value == "auto":
            found[key] = "rule"
    # An exception, unless a variant or --set put something in its place; and what the method needs
    # of its encoder or precision and the others have not, such as another norm.
    noted = {f"exception of suite {suite.name}": flatten(suite.exception(name, variant))}
    own = {k: v for k, v in tree["pretrain"].items() if k == "precision" and v != "auto"}
    noted[f"methods/{name}.yaml"] = flatten({"encoder": tree.get("encoder", {}), "pretrain": own})
    notes = tuple(
        f"{key} = {value if isinstance(value, str) else canonical(value)}"
        for source, values in noted.items()
        for key, value in values.items()
        if standing.get(key) == source
    )
    title = card.get("title", BASELINE_TITLES.get(name, label))
    return Planned(label, title, card, config, data, wanted, skipped, notes, found)


def _layers(
    suite: Suite, name: str, variant: str, changes: Tree
) -> tuple[list[tuple[str, Tree]], Tree]:
    baseline = name in BASELINES
    if baseline and variant:
        raise ConfigError(f"{name} is a baseline and has no variants")
    defaults = BASELINE_DEFAULTS if baseline else METHODS.defaults(name)
    chosen = variant_of(name, variant) if variant else {}
    run_keys = ("params", "encoder", "pretrain")

    def only(tree: Tree) -> Tree:
        return {key: value for key, value in tree.items() if key in run_keys}

    # What a suite holds equal it holds equal whole: no key of a method's own optimiser or recipe
    # shows through where the suite is silent.
    own = dict(defaults.get("pretrain", {}))
    for key in ("optim", "augment"):
        if key in suite.pretrain:
            own.pop(key, None)
    defaults = {**defaults, "pretrain": own}

    if baseline:
        changes = {key: value for key, value in changes.items() if key != "params"}
    layers = [
        (f"methods/{name}.yaml", only(defaults)),
        (f"suite {suite.name}", {"encoder": suite.encoder, "pretrain": suite.pretrain}),
        (f"exception of suite {suite.name}", suite.exception(name, variant)),
        (f"variant {variant}", only(chosen)),
        ("--set", changes),
    ]
    card = {} if baseline else build_card(name, variant).model_dump(mode="json")
    return [(source, layer) for source, layer in layers if layer], card


def check_exceptions(suite: Suite) -> None:
    """Raises an error for an exception of a method or variant that there is none of."""
    for label in suite.exceptions:
        name, _, variant = label.partition("@")
        if name not in BASELINES:
            METHODS.module(name)
        if variant:
            variant_of(name, variant)


def _pretrain(suite: Suite, tree: Tree, label: str, environs: Environs) -> PretrainConfig:
    """Names become what they stand for, and "auto" becomes what the rules say."""
    tree = dict(tree)
    where = f"{label}: pretrain"
    name = tree.get("dataset")
    if not isinstance(name, str):
        raise ConfigError(f"{where}.dataset: expected the name of a data set, found {name!r}")
    spec = dataset_spec(name, suite.datasets)
    tree["dataset"] = spec.model_dump(mode="json")
    augment = tree.get("augment")
    if isinstance(augment, str):
        tree["augment"] = recipe(augment).model_dump(mode="json")
    elif isinstance(augment, dict) and "recipe" in augment:  # a named recipe, changed
        base = recipe(augment["recipe"]).model_dump(mode="json")
        change = {key: value for key, value in augment.items() if key != "recipe"}
        tree["augment"] = build(Recipe, merge(base, change), where).model_dump(mode="json")
    if tree.get("precision", "auto") == "auto":
        if environs.bf16 is None:
            said = "the GPUs cannot be asked from here. --set pretrain.precision=bf16, or fp32"
            raise ConfigError(f"{where}.precision = auto: {said}")
        tree["precision"] = "bf16" if environs.bf16 else "fp32"
    if tree.get("views_path", "auto") == "auto":
        batched = spec.source == "arrays" or _fits_in_memory(spec)  # arrays are read as batches
        tree["views_path"] = "batched" if batched else "workers"
    optim = tree.get("optim")
    if isinstance(optim, dict):
        build(OptimConfig, optim, f"{where}.optim")  # the clearer message
    return build(PretrainConfig, tree, where)


def _fits_in_memory(spec: DatasetSpec) -> bool:
    images = spec.images("train")
    if spec.image_size is None or images is None:
        return False
    return images * 3 * spec.image_size**2 <= HELD_BYTES


def _data_info(pretrain: PretrainConfig, environs: Environs) -> DataInfo:
    images = pretrain.dataset.images("train") or environs.count(pretrain.dataset)
    if pretrain.batch_size > images:
        raise ConfigError(
            f"pretrain.batch_size = {pretrain.batch_size} exceeds the {images} training images of "
            f"{pretrain.dataset.name}"
        )
    steps = images // pretrain.batch_size
    if pretrain.steps is not None:
        steps = min(steps, pretrain.steps)
    return DataInfo(images, pretrain.batch_size, pretrain.image_size, pretrain.epochs, steps)


def _params(name: str, label: str, tree: Tree, data: DataInfo) -> tuple[Tree, Tree, Needs | None]:
    """A method's parameters as given, and with every "auto" settled; and what those need."""
    where = f"{label}: params"
    if name in BASELINES:
        build(_NoParams, tree, where)
        return {}, {}, None  # the first view of any layout does
    cls: type[Method] = methods.get(name)
    config = build(cls.Config, tree, where)
    scaled: Settings = cls.scaled(config, data)
    if type(scaled) is not cls.Config:
        raise ConfigError(f"{label}: scaled() must return a {cls.Config.__name__}")
    settled: Tree = scaled.model_dump(mode="json")
    build(cls.Config, settled, f"{where} after scaling")  # model_copy does not validate
    return config.model_dump(mode="json"), settled, cls.needs_of(scaled)


def _versions(name: str, spec: DatasetSpec) -> dict[str, int]:
    versions = {"trainer": TRAINER_VERSION, "views": VIEWS_VERSION}
    if name not in BASELINES:
        versions["method"] = methods.get(name).version
    if spec.source == "rendered":
        from sslbench.data.rendered import VERSION

        versions["rendered"] = VERSION
    return versions
