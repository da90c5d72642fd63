"""The checks of an evaluation, or of one of its named settings."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from sslbench.api import Evaluation, evaluations
from sslbench.config import build, fingerprint
from sslbench.conformance.left_behind import left_behind
from sslbench.conformance.patches import CLASSES, other_test_labels, patches
from sslbench.conformance.results import Check
from sslbench.data.datasets import LabelledDataset, open_dataset
from sslbench.data.spec import dataset_spec
from sslbench.environment import environment
from sslbench.errors import ConfigError, PluginError
from sslbench.evaluate import evaluate, marks_of
from sslbench.features import FeatureStore
from sslbench.nn.config import EncoderConfig
from sslbench.nn.encoder import Encoder
from sslbench.protocols import resolve_evaluation
from sslbench.run import EvaluationConfig
from sslbench.stats.items import ItemRows
from sslbench.store import Record, Score, Store
from sslbench.suite import EvaluationEntry

CPU = torch.device("cpu")
CANDIDATES = ("objects_tiny", "canvases_tiny", "canvas_classes_tiny")  # one data set per task
ENCODER = EncoderConfig(
    name="resnet18",
    options={"layers": [1, 1, 1, 1], "channels": [8, 16, 32, 64]},
    stem="small",
    stem_stride=2,
)


@dataclass(frozen=True)
class _Measured:
    record: Record
    table: pa.Table  # read back from the disk


class _Trial:
    """One evaluation with one of its settings, on the embedded data of its task."""

    def __init__(self, label: str) -> None:
        self.label = label

    @cached_property
    def encoder(self) -> Encoder:
        torch.manual_seed(0)
        return Encoder(ENCODER)

    @cached_property
    def plugin(self) -> type[Evaluation]:
        return evaluations.get(self.label.partition("@")[0])

    def resolve(self) -> None:
        reasons = []
        for candidate in CANDIDATES:
            entry = EvaluationEntry(
                protocol=self.label, dataset=candidate, settings=dict(self.plugin.trial)
            )
            wanted = resolve_evaluation("check", entry, {}, 32)
            settings = build(self.plugin.Config, wanted.settings, self.label)
            reason = self.plugin(settings).unsupported(self.encoder, dataset_spec(candidate))
            if reason is None:
                self.wanted = wanted
                return
            reasons.append(reason)
        raise ConfigError(f"suits none of the embedded data sets: {'; '.join(reasons)}")

    def measured(self, wanted: EvaluationConfig, dataset: LabelledDataset) -> _Measured:
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Path(folder))
            record = evaluate(
                wanted,
                self.encoder,
                left_behind(self.encoder, dataset, wanted.preprocessing.image_size, CPU),
                dataset,
                run="check",
                seed=0,
                store=store,
                features=FeatureStore(store.features_folder),
                device=CPU,
                environment=environment(CPU),
                workers=0,
                on_progress=lambda done, total: None,
            )
            if record.failure is not None:
                raise PluginError(f"{record.failure.kind}: {record.failure.message}")
            if record.status == "skipped":
                raise PluginError(f"it does not apply to a method with prototypes: {record.reason}")
            path = store.evaluation_file("check", wanted.id, "parquet")
            return _Measured(record, pq.read_table(path, memory_map=False))

    @cached_property
    def once(self) -> _Measured:
        """The embedded data, measured once for all checks of what came of it."""
        return self.measured(self.wanted, open_dataset(self.wanted.dataset, None))

    def easy_and_hopeless(self) -> None:
        if self.wanted.dataset.task == "detection" or not self.plugin.freezes:
            return
        several, found = self.wanted.dataset.task == "multilabel", []
        for shuffled in (False, True):
            dataset = patches(shuffled, several)
            wanted = self.wanted.model_copy(update={"dataset": dataset.spec})
            record = self.measured(wanted, dataset).record
            found.append(record.scores[record.headline])
        easy, hopeless = found
        settings = build(self.plugin.Config, self.wanted.settings, self.label)
        adjusted = self.plugin(settings).metrics[0].adjusted
        name, chance = record.headline, 0.0 if adjusted else 100 / CLASSES
        no_chance = easy.unit != "%" or several  # that is known: a precision's is its class's share
        if no_chance or adjusted:  # how high is not known, but above what nothing gives
            better = easy.value > hopeless.value
            if easy.value != hopeless.value and better != easy.higher_is_better:
                raise PluginError(
                    f"{name} is {easy.value:.3g} where classes are plain colours, no better than "
                    f"{hopeless.value:.3g} for shuffled labels"
                )
        if easy.unit == "%" and not adjusted and easy.value < 95:
            raise PluginError(f"{name} is {easy.value:.1f} where classes are plain colours")
        if no_chance:
            return
        low, high = _three_standard_errors(hopeless)
        if not low <= chance <= high:
            raise PluginError(
                f"{name} is {hopeless.value:.1f} for shuffled labels, with three standard errors "
                f"{low:.1f} to {high:.1f}, but chance is {chance:.1f}: do test labels leak?"
            )

    def repeats(self) -> None:
        again = self.measured(self.wanted, open_dataset(self.wanted.dataset, None))
        one, other = self.once.record, again.record
        if one.scores != other.scores or one.outcomes_sha256 != other.outcomes_sha256:
            raise PluginError(f"the same seed gave {one.scores} and {other.scores}")

    def scores_come_from_the_table(self) -> None:
        table, scores = self.once.table, self.once.record.scores
        kept = {name: score.value for name, score in scores.items()}
        order = np.random.default_rng(0).permutation(table.num_rows)
        shuffled = table.take(pa.array(order))
        _same("the table read back from the disk", self.plugin.score(table), kept)
        _same("the table with its rows in another order", self.plugin.score(shuffled), kept)
        drawn = np.random.default_rng(1).integers(0, ItemRows(table).items, ItemRows(table).items)
        for rows in (ItemRows(table), ItemRows(shuffled)):
            resampler = self.plugin.resampler(rows.table)
            if resampler is not None:
                _same("resampler with every item once", resampler(np.ones(rows.items, int)), kept)
                times = np.bincount(drawn, minlength=rows.items)
                wanted = self.plugin.score(rows.resampled(drawn))
                _same("resampler of a draw", resampler(times), wanted)

    def test_labels_choose_nothing(self) -> None:
        if self.once.record.fingerprint["selection"] == "paper":
            return
        dataset = other_test_labels(self.wanted.dataset)
        one, other = self.once.record.chosen, self.measured(self.wanted, dataset).record.chosen
        if one != other:
            raise PluginError(
                f"with other test labels it chose {other}, before {one}. Select on held_out, or "
                "say selection: paper"
            )

    def selection_is_in_the_fingerprint(self) -> None:
        if "selection" not in self.plugin.Config.model_fields:
            return
        dataset = open_dataset(self.wanted.dataset, None)
        found = {}
        for selection in ("held_out", "paper"):
            settings = {**self.wanted.settings, "selection": selection}
            built = build(self.plugin.Config, settings, self.label)
            wanted = self.wanted.model_copy(
                update={"settings": built.hashed(), "version": self.plugin(built).version}
            )
            marks = marks_of(wanted, self.plugin(built), dataset)
            if marks["selection"] != selection:
                raise PluginError(
                    f"with settings.selection: {selection} the fingerprint says "
                    f"{marks['selection']!r}: the property `selection` must follow the setting"
                )
            found[selection] = fingerprint(marks), wanted.hash
        if any(one == other for one, other in zip(*found.values(), strict=True)):
            raise PluginError(
                "held_out and paper have one fingerprint: settings.selection is kept "
                "out of hashed()"
            )


def _three_standard_errors(score: Score) -> tuple[float, float]:
    """Around the score. Its interval of 95 % would accuse one honest protocol in twenty."""
    assert score.interval is not None
    low, high = score.interval.low, score.interval.high
    wider = 3 / 1.96
    return score.value - wider * (score.value - low), score.value + wider * (high - score.value)


def _same(what: str, found: Mapping[str, float], wanted: Mapping[str, float]) -> None:
    """Raises PluginError if scores differ by more than the order of a sum can make them."""
    if found.keys() != wanted.keys() or not all(
        np.isclose(found[name], wanted[name], rtol=1e-9, atol=1e-9, equal_nan=True)
        for name in wanted
    ):
        raise PluginError(
            f"{what} gives {dict(found)}, expected {dict(wanted)}. A score must be a function of "
            "the table alone, whatever the order of its rows"
        )


def evaluation_checks(label: str) -> list[Check]:
    """In the order in which they build on one another."""
    trial = _Trial(label)
    return [
        ("settings resolve and a data set suits it", trial.resolve),
        ("plain colours score near 100, shuffled labels near chance", trial.easy_and_hopeless),
        ("scores match the metrics, frozen stays frozen, the same seed repeats", trial.repeats),
        ("scores come from the stored table alone", trial.scores_come_from_the_table),
        ("test labels leave what is chosen unchanged", trial.test_labels_choose_nothing),
        (
            "held_out and paper have fingerprints of their own",
            trial.selection_is_in_the_fingerprint,
        ),
    ]
