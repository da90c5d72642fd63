"""Records -> one tidy table of numbers: a line per run, evaluation and metric.

A stage without a number keeps its line, with a status instead of a value, so that a row of a table
never vanishes. What a run cost stands beside its scores as the evaluation ``pretrain``.
"""

from collections.abc import Iterator
from typing import Any, Literal

import pandas as pd

from sslbench.config import canonical
from sslbench.run import WEIGHTS
from sslbench.store import Environment, Failure, Manifest, PlanFile, Record, Row, Store

# excluded: there is a record, which is damaged or was edited (sslbench.report.sound)
Status = Literal["done", "failed", "excluded", "skipped", "missing"]

PRETRAIN = "pretrain"  # the evaluation's name under which a run's cost stands
_EDGE = "_at_edge"  # of what an evaluation says of a setting that it chose
COST_UNITS = {  # unit and whether more is better
    "seconds": ("s", False),
    "images_per_second": ("images/s", True),
    "device_hours": ("h", False),
    "peak_memory_gib": ("GiB", False),
    "parameters": ("", False),
    "steps": ("", False),
}

COLUMNS = {
    "label": "str",
    "seed": "int64",
    "run": "str",
    "evaluation": "str",  # the suite's key, or "pretrain"
    "plugin": "str",  # of the evaluation; "" for "pretrain"
    "dataset": "str",  # that was measured on
    "metric": "str",  # "" where the status stands for all metrics
    "value": "float64",
    "low": "float64",
    "high": "float64",
    "level": "float64",  # of the interval
    "interval": "str",  # how it was made
    "n": "int64",  # test items behind the value
    "unit": "str",
    "higher_is_better": "bool",
    "status": "str",
    "reason": "str",
    "fingerprint": "str",  # canonical JSON
    "fingerprint_sha256": "str",
    "record": "str",  # its file's name without ending
    "at_edge": "str",  # settings that were chosen at an end of what was tried
    "spread_sha256": "str",  # of the file of what its intervals are made of
    "health": "str",  # the run's verdict; on its lines of "pretrain"
    "encoder": "str",  # of the run, as are its epochs
    "epochs": "int64",
    "training": "str",  # canonical JSON of what publications, too, say of encoder and pre-training
    "commit": "str",
    "machine": "str",
}
_EMPTY: dict[str, Any] = {
    "plugin": "",
    "dataset": "",
    "metric": "",
    "value": float("nan"),
    "low": float("nan"),
    "high": float("nan"),
    "level": float("nan"),
    "interval": "",
    "n": 0,
    "unit": "",
    "higher_is_better": True,
    "reason": "",
    "fingerprint": "",
    "fingerprint_sha256": "",
    "record": "",
    "at_edge": "",
    "spread_sha256": "",
    "health": "",
    "encoder": "",
    "epochs": -1,
    "training": "",
    "commit": "",
    "machine": "",
}


def frame(store: Store, plan: PlanFile) -> pd.DataFrame:
    """Everything that is known of a plan's runs; its columns are ``COLUMNS``.

    Raises StoreError if a record is damaged.
    """
    lines = [{**_EMPTY, **line} for row in plan.rows for line in _run(store, row)]
    return pd.DataFrame(lines, columns=list(COLUMNS)).astype(COLUMNS)


def _run(store: Store, row: Row) -> Iterator[dict[str, Any]]:
    manifest = store.manifest(row.run)
    run: dict[str, Any] = {"label": row.label, "seed": row.seed, "run": row.run}
    if manifest is not None:
        config = manifest.config
        run["encoder"] = str(config.get("encoder", {}).get("name", ""))
        run["epochs"] = int(config.get("pretrain", {}).get("epochs", -1))
        run["training"] = canonical(_training(config))
    for line in _cost(manifest):
        yield {**run, "evaluation": PRETRAIN, **line}
    for key, name in row.evaluations.items():
        run["evaluation"] = key
        # The name of a record is EVALUATION-DATASET-HASH, which serves where there is no record.
        plugin, _, dataset = name.rpartition("-")[0].partition("-")
        run["plugin"], run["dataset"], run["record"] = plugin, dataset, name
        for line in _scores(store.record(row.run, name), manifest):
            yield {**run, **line}
    run["plugin"] = run["dataset"] = run["record"] = ""
    for key, reason in row.skipped.items():
        yield {**run, "evaluation": key, "status": "skipped", "reason": reason}


def _training(config: dict[str, Any]) -> dict[str, Any]:
    """Of a run's configuration what a published number can be compared by; few bytes a line."""
    encoder, pretrain = config.get("encoder", {}), config.get("pretrain")
    found = {"encoder": _part(encoder, "name", "options", "stem", "input")}
    if pretrain is not None:
        found["pretrain"] = _part(pretrain, "epochs", "batch_size", "image_size")
        found["pretrain"]["dataset"] = _part(pretrain.get("dataset", {}), "name", "subset")
        found["pretrain"]["views"] = [_part(view, "size") for view in pretrain.get("views", [])]
    return found


def _part(tree: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: tree[key] for key in keys if key in tree}


def _cost(manifest: Manifest | None) -> Iterator[dict[str, Any]]:
    if manifest is None:
        yield {"status": "missing"}
        return
    made = _made(manifest.environment)
    if manifest.health is not None:
        made["health"] = manifest.health.verdict
    if manifest.status == "failed":
        yield {"status": "failed", "reason": _untrained(manifest), **made}
        return
    if manifest.config.get("method") == WEIGHTS:  # trained elsewhere, at a cost unknown
        yield {"status": "missing", **made}
        return
    seconds, seen = manifest.seconds, manifest.images_seen  # seen none: nothing was trained
    devices = manifest.environment.devices if manifest.environment else 1
    values = {
        "seconds": seconds,
        "images_per_second": seen / seconds if seen and seconds > 0 else None,
        "device_hours": seconds * devices / 3600,
        "peak_memory_gib": manifest.peak_memory_gib,
        "parameters": manifest.parameters,
        "steps": manifest.steps,
    }
    for name, value in values.items():
        unit, higher = COST_UNITS[name]
        line = {"metric": name, "unit": unit, "higher_is_better": higher, **made}
        # An untrained encoder has no speed.
        known = {"status": "missing"} if value is None else {"status": "done", "value": value}
        yield {**line, **known}


def _scores(record: Record | None, manifest: Manifest | None) -> Iterator[dict[str, Any]]:
    if record is None:
        if manifest is not None and manifest.status == "failed":
            yield {"status": "failed", "reason": _untrained(manifest)}
        else:
            yield {"status": "missing"}
        return
    known = {
        "plugin": record.evaluation,
        "dataset": record.dataset,
        "fingerprint": canonical(record.fingerprint),
        "fingerprint_sha256": record.fingerprint_sha256,
        "at_edge": ", ".join(
            key.removesuffix(_EDGE)
            for key, yes in record.chosen.items()
            if key.endswith(_EDGE) and yes is True
        ),
        "spread_sha256": record.spread_sha256 or "",
        **_made(record.environment),
    }
    if record.status != "done":
        reason = record.reason or _why(record.failure)
        yield {**known, "status": record.status, "reason": reason}
        return
    if manifest is not None and record.encoder_digest != manifest.encoder_digest:
        yield {"status": "missing"}  # of an earlier training of the run; `run` will do it again
        return
    for name, score in record.scores.items():
        line = {
            "metric": name,
            "value": score.value,
            "n": score.n,
            "unit": score.unit,
            "higher_is_better": score.higher_is_better,
            "status": "done",
        }
        if score.interval is not None:
            line["low"], line["high"] = score.interval.low, score.interval.high
            line["level"], line["interval"] = score.interval.level, score.interval.method
        yield {**known, **line}


def _untrained(manifest: Manifest) -> str:
    return f"pre-training failed: {_why(manifest.failure)}"


def _why(failure: Failure | None) -> str:
    if failure is None:
        return "no reason was recorded"
    return failure.message


def _made(environment: Environment | None) -> dict[str, str]:
    if environment is None:
        return {"commit": "", "machine": ""}
    machine = f"{environment.machine} ({environment.device})"
    return {"commit": environment.commit or "", "machine": machine}
