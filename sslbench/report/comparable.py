"""Measured beside published: reproduced, off by so much, or not comparable and why, by rule.

A measured number is compared with the number nearest to it that a publication gives for the same
method, evaluation and metric. Only what run and record hold and what the quoted row says decides.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from sslbench.config import Tree, flatten, load_yaml
from sslbench.report.grid import MINUS
from sslbench.report.reported import ORIGINS, Quoted

TOLERANCE = 0.5  # points: released weights and means of trials differ by 0.2 in one publication
USUAL_SIZE = 224  # of ImageNet's views where the quoted row names no other
IMAGENET = "imagenet"

Outcome = Literal["reproduced", "off", "not comparable"]


@dataclass(frozen=True)
class Measured:
    """A number of ours and how it came about."""

    label: str
    plugin: str
    dataset: str
    metric: str
    value: float
    low: float | None
    high: float | None
    unit: str
    training: Mapping[str, Any]  # the manifest's encoder and pretrain; without pretrain: weights
    fingerprint: Mapping[str, Any]  # the record's

    @property
    def pretrain(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.training.get("pretrain", {})
        return found

    @property
    def data(self) -> str:
        return str(self.pretrain.get("dataset", {}).get("name", ""))


@dataclass(frozen=True)
class Reason:
    """One thing in which two numbers differ."""

    kind: str  # another encoder
    ours: str
    theirs: str

    def __str__(self) -> str:
        return f"{self.kind} ({self.ours}; published: {self.theirs})" if self.theirs else self.kind


@dataclass(frozen=True)
class Verdict:
    """What a measured number says of a published one."""

    outcome: Outcome
    text: str
    short: str  # in a cell
    reasons: tuple[Reason, ...] = ()


def verdict(measured: Measured, quoted: Quoted) -> Verdict:
    """The rule: first all in which the two differ, then whether the published value is met."""
    reasons = differences(measured, quoted)
    off = measured.value - quoted.value
    inside = (
        measured.low is not None
        and measured.high is not None
        and measured.low <= quoted.value <= measured.high
    )
    met = inside or abs(off) <= TOLERANCE + 1e-9
    if not measured.pretrain and not met:
        reasons += (Reason("the training of these weights is not known here", "", ""),)
    printed = f"{quoted.text} ({quoted.source})"
    if reasons:
        told = ", ".join(map(str, reasons))
        return Verdict("not comparable", f"not comparable with {printed}: {told}", "", reasons)
    if met:
        how = "inside the interval" if inside else f"within {TOLERANCE:g} points"
        return Verdict("reproduced", f"reproduced: {printed} is {how}", "reproduced")
    by = f"{off:+.1f}".replace("-", MINUS)
    return Verdict("off", f"off by {by} points from {printed}", f"off by {by}")


def nearest(measured: Measured, quoted: Sequence[Quoted]) -> Quoted | None:
    """Of a label's numbers the one to compare with: of this evaluation and metric, or None.

    First comes the same data set, then the same pre-training data, encoder, number of epochs and
    batch size, then the better origin, then the first of the file. Of another data set the number
    of the best origin is taken.
    """
    fitting = [
        q
        for q in quoted
        if q.label == measured.label
        and q.evaluation.partition("/")[0] == measured.plugin
        and q.metric == measured.metric
    ]
    return min(fitting, key=lambda q: _distance(measured, q), default=None)


def _distance(measured: Measured, q: Quoted) -> tuple[float, ...]:
    pretrain, dataset = measured.pretrain, q.evaluation.partition("/")[2]
    encoder = measured.training.get("encoder", {}).get("name", "")
    epochs = int(pretrain.get("epochs", 0))
    away = math.inf if epochs else 0.0
    origin = float(ORIGINS.index(q.origin))
    apart = _apart(measured.dataset, dataset)
    return (
        apart,
        origin if apart > 1 else 0.0,
        float("@" not in q.protocol) if apart > 1 else 0.0,
        _apart(measured.data, q.data) if measured.data else 0.0,
        float(bool(encoder) and q.encoder != encoder),
        abs(math.log(q.epochs / epochs)) if epochs and q.epochs else away,
        float(bool(pretrain) and q.batch != pretrain.get("batch_size")),
        origin,
    )


def _apart(ours: str, theirs: str) -> float:
    """Two data sets: the same, a part of it, ImageNet for want of a nearer one, or another."""
    if ours == theirs:
        return 0.0
    if theirs and ours.startswith(f"{theirs}-"):
        return 1.0
    return 2.0 if theirs == IMAGENET else 3.0


def differences(measured: Measured, quoted: Quoted) -> tuple[Reason, ...]:
    """Everything in which the two differ, in the order of a run: training, then evaluation."""
    dataset = quoted.evaluation.partition("/")[2]
    found = _of_encoder(measured.training.get("encoder", {}), quoted)
    if measured.pretrain:
        found += _of_training(measured.pretrain, quoted)
    if measured.dataset != dataset:
        found.append(Reason("another data set", measured.dataset, dataset))
    elif part := measured.fingerprint.get("data", {}).get("subset", {}):
        found.append(Reason("a part of the data set", _words(part), "all"))
    size = measured.fingerprint.get("preprocessing", {}).get("image_size", USUAL_SIZE)
    if measured.dataset == dataset == IMAGENET and size != USUAL_SIZE:
        found.append(Reason("another size of test images", f"{size}", f"{USUAL_SIZE}"))
    if not follows(measured, quoted.protocol):
        found.append(_reason("another protocol", "protocol", _settings(measured), quoted.protocol))
    if measured.unit != "%":
        found.append(Reason("another unit", measured.unit or "none", "%"))
    return tuple(found)


def _reason(kind: str, what: str, ours: str, theirs: str) -> Reason:
    return Reason(kind, ours, theirs) if theirs else Reason(f"{what} not stated", ours, "")


def _of_encoder(encoder: Mapping[str, Any], quoted: Quoted) -> list[Reason]:
    name = str(encoder.get("name", ""))
    options = encoder.get("options", {})
    changed = [f"other {' and '.join(sorted(options))}"] if options else []
    # Of the small data sets no source says which first layers its encoder has.
    if encoder.get("stem", IMAGENET) != IMAGENET and quoted.data in ("", IMAGENET):
        changed.append("small stem")
    if encoder.get("input", "rgb") != "rgb":
        changed.append(str(encoder["input"]))
    if name == quoted.encoder and not changed:
        return []
    ours = ", ".join([name, *changed])
    return [_reason("another encoder", "encoder", ours, quoted.encoder)]


def _of_training(pretrain: Mapping[str, Any], quoted: Quoted) -> list[Reason]:
    found = []
    dataset = pretrain.get("dataset", {})
    name = str(dataset.get("name", ""))
    if name != quoted.data:
        found.append(Reason("other pre-training data", name, quoted.data))
    elif dataset.get("subset"):
        found.append(Reason("a part of the pre-training data", _words(dataset["subset"]), "all"))
    for what, key, theirs in (
        ("number of epochs", "epochs", quoted.epochs),
        ("batch size", "batch_size", quoted.batch),
    ):
        if pretrain.get(key) != theirs:
            found.append(
                _reason(f"another {what}", what, f"{pretrain.get(key)}", f"{theirs or ''}")
            )
    first = quoted.crops.partition("+")[0].rpartition("x")[2]
    size = int(first) if first.isdigit() else USUAL_SIZE if quoted.data == IMAGENET else None
    if size is not None and pretrain.get("image_size") != size:
        found.append(Reason("another image size", f"{pretrain.get('image_size')}", f"{size}"))
    views = pretrain.get("views", [])
    local = any(float(view.get("size", 1.0)) < 1.0 for view in views)
    if quoted.crops and local != is_multicrop(quoted.crops):
        ours = "multi-crop" if local else "single-crop"
        found.append(Reason("other crops", ours, quoted.crops))
    return found


def is_multicrop(crops: str) -> bool:
    """Whether a quoted row's views are of several sizes."""
    return "+" in crops or crops in ("multi-crop", "5 crops")


def follows(measured: Measured, protocol: str) -> bool:
    """Whether a number was measured by a named protocol of ours, as far as that one decides."""
    plugin, at, name = protocol.partition("@")
    variant = _variants(plugin).get(name) if at and plugin == measured.plugin else None
    if variant is None:
        return False
    return all(
        _same(variant.get(part, {}), measured.fingerprint.get(part, {}))
        for part in ("settings", "preprocessing")
    )


def _same(wanted: Tree, found: Mapping[str, Any]) -> bool:
    has = flatten(found)
    return all(key in has and has[key] == value for key, value in flatten(wanted).items())


@cache
def _variants(plugin: str) -> Tree:
    """The named settings of an evaluation that comes with sslbench; none of another."""
    file = resources.files("sslbench.benchmarks").joinpath(f"{plugin}.yaml")
    if not file.is_file():
        return {}
    variants: Tree = load_yaml(file.read_text(encoding="utf-8"), plugin).get("variants", {})
    return variants


def _settings(measured: Measured) -> str:
    """The named protocol that a number follows, or that it follows none."""
    names = [f"{measured.plugin}@{name}" for name in _variants(measured.plugin)]
    found = [name for name in names if follows(measured, name)]
    return " or ".join(found) or f"{measured.plugin} of its own settings"


def _words(tree: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in sorted(tree.items()))
