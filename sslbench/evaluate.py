"""One evaluation of one encoder: runs the plugin, checks it, and makes a record of what it found.

Outcomes go to disk before the record that names their digest. Scores and intervals come from the
table of outcomes alone, through the plugin's ``score``, so that anyone can compute them again.
"""

import copy
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from sslbench.api import (
    Evaluation,
    EvaluationContext,
    Features,
    Outcome,
    Split,
    Subject,
    evaluations,
)
from sslbench.checkpoints import Checkpoints
from sslbench.config import Tree, build, fingerprint
from sslbench.data.datasets import LabelledDataset
from sslbench.data.images import ImageSet
from sslbench.data.loaders import CentreViews, embed_batches
from sslbench.disk import file_digest, write_atomic
from sslbench.errors import (
    Interrupted,
    NotApplicable,
    PluginError,
    RankFailed,
    UnwritableError,
)
from sslbench.feature_pass import BATCH
from sslbench.features import FeatureStore
from sslbench.memory import PeakMemory
from sslbench.nn.digest import tensors_digest
from sslbench.nn.encoder import Encoder
from sslbench.run import EvaluationConfig, Preprocessing
from sslbench.spreads import ENDING, write_spreads
from sslbench.stats.items import ItemRows, score_intervals
from sslbench.stats.spread import Spread
from sslbench.store import Environment, Failure, Interval, Record, Score, Store, now


def evaluate(
    config: EvaluationConfig,
    encoder: Encoder,
    artifacts: Mapping[str, Tensor],
    dataset: LabelledDataset,
    *,
    run: str,
    seed: int,
    store: Store,
    features: FeatureStore,
    device: torch.device,
    environment: Environment,
    workers: int,
    on_progress: Callable[[int, int], None],
) -> Record:
    """The record of one evaluation; the caller writes it, the outcomes are on disk by then.

    ``on_progress`` is told (done, total) and may raise Interrupted. Whatever a plugin raises
    becomes a record, of what is skipped for NotApplicable or else of a failure; Interrupted,
    UnwritableError and RankFailed pass. Raises ConfigError for wrong settings, UnknownPluginError
    for no plugin.
    """
    began = time.monotonic()
    plugin = evaluations.get(config.evaluation)
    settings = build(plugin.Config, config.settings, f"evaluation {config.evaluation!r}")
    evaluation = plugin(settings)
    marks = marks_of(config, evaluation, dataset)
    digest = tensors_digest(encoder.state_dict())
    checkpoint = evaluation_checkpoints(store, run, config, digest, dataset.digest)
    context = EngineContext(
        device, seed, checkpoint, features, config.preprocessing, workers, on_progress
    )
    record = Record(
        run=run,
        evaluation=config.evaluation,
        dataset=config.dataset.name,
        identity=config.hash,
        status="failed",
        headline=evaluation.metrics[0].name,
        fingerprint=marks,
        fingerprint_sha256=fingerprint(marks),
        encoder_digest=digest,
        environment=environment,
    )
    changes: dict[str, Any]
    try:
        dataset.check_measurable()
        with PeakMemory(device) as memory:
            outcome = _run(config.evaluation, evaluation, encoder, artifacts, dataset, context)
        scores, spreads = scored(config.evaluation, evaluation, outcome.table)
        outcomes = store.evaluation_file(run, config.id, "parquet")
        write_atomic(outcomes, lambda path: pq.write_table(outcome.table, path, compression="zstd"))
        changes = {
            "status": "done",
            "scores": scores,
            "chosen": dict(outcome.chosen),
            "peak_memory_gib": round(memory.gib, 3),
            "outcomes_sha256": file_digest(outcomes),
            "spread_sha256": write_spreads(store.evaluation_file(run, config.id, ENDING), spreads),
        }
    except (Interrupted, UnwritableError, RankFailed):
        raise
    except NotApplicable as error:
        changes = {"status": "skipped", "reason": str(error)}
    except Exception as error:  # a plugin may raise anything, and the other runs go on
        failure = Failure.of(error)
        changes = {"failure": failure, "reason": failure.message}
    return record.model_copy(
        update={
            **changes,
            "log": context.logged,
            "seconds": round(time.monotonic() - began, 3),
            "created": now(),
        }
    )


def evaluation_checkpoints(
    store: Store, run: str, config: EvaluationConfig, encoder: str, data: str
) -> Checkpoints:
    """Those of an evaluation of the encoder and the data that have these digests."""
    path = store.evaluation_file(run, config.id, "checkpoint.pt")
    return Checkpoints(path, {"encoder": encoder, "data": data})


def _run(
    name: str,
    evaluation: Evaluation,
    encoder: Encoder,
    artifacts: Mapping[str, Tensor],
    dataset: LabelledDataset,
    context: "EngineContext",
) -> Outcome:
    """What the plugin found. Raises PluginError if it changed an encoder that it freezes."""
    own = copy.deepcopy(encoder).float()
    own = own.to(context.device).to(memory_format=torch.channels_last)
    own.eval().requires_grad_(not evaluation.freezes)
    before = tensors_digest(own.state_dict()) if evaluation.freezes else ""
    subject = Subject(own, {key: value.to(context.device) for key, value in artifacts.items()})
    outcome = evaluation.run(subject, dataset, context)
    if evaluation.freezes and tensors_digest(own.state_dict()) != before:
        raise PluginError(
            f"evaluation {name!r} changed the encoder, which it says it freezes. Keep it in eval "
            "mode and train nothing of it, or declare freezes = False"
        )
    return outcome


def scored(
    name: str, evaluation: Evaluation, table: pa.Table
) -> tuple[dict[str, Score], Mapping[str, Spread]]:
    """Scores with intervals, in the order of ``metrics``, and what comparisons need of them.

    Raises PluginError if scores, metrics and table do not fit.
    """
    if "item" not in table.column_names or table.num_rows == 0:
        raise PluginError(
            f"evaluation {name!r}: its table needs rows and a column 'item', found "
            f"{table.num_rows} rows of {table.column_names}"
        )
    values = evaluation.score(table)
    metrics = {metric.name: metric for metric in evaluation.metrics_of(table)}
    if set(values) != set(metrics):
        raise PluginError(
            f"evaluation {name!r}: score gives {sorted(values)}, metrics declares {sorted(metrics)}"
        )
    bad = [metric for metric, value in values.items() if not math.isfinite(value)]
    if bad:
        raise PluginError(f"evaluation {name!r}: no finite value for {bad}")
    rows = ItemRows(table)
    means = evaluation.item_values(table)
    for mean, given in (means or {}).items():
        if given.shape != (rows.items,) or not np.isclose(given.mean(), values[mean]):
            raise PluginError(
                f"evaluation {name!r}: item_values must hold {rows.items} numbers for {mean!r} "
                f"whose mean is its score, {values[mean]}"
            )
    measured = score_intervals(
        rows, evaluation.score, means, evaluation.resampler(table), halves=evaluation.halves
    )
    scores = {}
    for key, metric in metrics.items():
        bounds = measured.intervals.get(key)
        if bounds is not None and metric.unit == "%":  # centring may leave what a share can be
            low = bounds[0] if metric.adjusted else max(bounds[0], 0.0)
            bounds = (low, min(bounds[1], 100.0))
        scores[key] = Score(
            value=float(values[key]),
            unit=metric.unit,
            higher_is_better=metric.higher_is_better,
            interval=bounds and Interval(low=bounds[0], high=bounds[1], method=measured.how),
            n=rows.items,
        )
    return scores, measured.spreads


def marks_of(config: EvaluationConfig, evaluation: Evaluation, dataset: LabelledDataset) -> Tree:
    """What two numbers must share to stand in one column: no seed, no chosen value, no encoder.

    The fingerprint is the digest of it.
    """
    return {
        "evaluation": config.evaluation,
        "version": config.version,
        "settings": evaluation.config.hashed(),
        "preprocessing": {**config.preprocessing.hashed(), "antialias": True},
        "data": {"digest": dataset.digest, "subset": dataset.spec.subset},
        "split": evaluation.split,
        "selection": evaluation.selection,
        "precision": "fp32",
    }


class EngineContext(EvaluationContext):
    """What an evaluation is lent."""

    checkpoint: Checkpoints

    def __init__(
        self,
        device: torch.device,
        seed: int,
        checkpoint: Checkpoints,
        store: FeatureStore,
        preprocessing: Preprocessing,
        workers: int,
        on_progress: Callable[[int, int], None],
    ) -> None:
        self.device, self.seed, self.checkpoint = device, seed, checkpoint
        self.workers, self.image_size = workers, preprocessing.image_size
        self.preprocessing = preprocessing
        self.logged: dict[str, float] = {}
        self._store, self._on_progress = store, on_progress

    def features(
        self, encoder: Encoder, dataset: LabelledDataset, split: Split, layer: int = -1
    ) -> Features:
        return self._store.features(
            encoder,
            dataset,
            split,
            layer,
            self.preprocessing,
            seed=self.seed,
            device=self.device,
            workers=self.workers,
            on_progress=self._on_progress,
        )

    def centre_views(self, images: ImageSet) -> CentreViews:
        return embed_batches(
            images,
            self.image_size,
            BATCH,
            self.device,
            self.workers,
            filter=self.preprocessing.filter,
            crop_fraction=self.preprocessing.crop_fraction,
        )

    def progress(self, done: int, total: int) -> None:
        self._on_progress(done, total)

    def log(self, name: str, value: float) -> None:
        self.logged[name] = float(value)
