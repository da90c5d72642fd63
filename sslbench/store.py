"""Records on disk: a manifest per run, a record per evaluation, nothing else is believed.

Manifests, records and plans are sealed with the digest of what they say, so that what was edited by
hand is not taken for a fact.
"""

import json
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar
from uuid import uuid4

from sslbench.config import Settings, Tree, build, fingerprint, is_file_name
from sslbench.disk import write_text
from sslbench.errors import ConfigError, EditedError, SSLBenchError, StoreError, UnwritableError
from sslbench.health.verdict import Health
from sslbench.study import PartFacts, StudyFacts

SCHEMA_VERSION = 1
PICTURES = "pictures"  # the folder of a study's pictures, beside its tables
SEAL = "sha256"  # in the file alone: of the canonical JSON of everything else in it
T = TypeVar("T", bound="Settings")
R = TypeVar("R", "Record", "Manifest")
_STRAY = "of {}, so it was copied or renamed. Give it its name back, or remove it to redo it"


class Interval(Settings):
    low: float
    high: float
    level: float = 0.95
    method: str  # such as "bootstrap over 2000 test images"


class Score(Settings):
    """One number and what is needed to read it."""

    value: float
    unit: str
    higher_is_better: bool
    interval: Interval | None = None
    n: int  # test items behind it


class Failure(Settings):
    kind: str  # the exception's class, or "Diverged"
    message: str
    traceback: str = ""

    @classmethod
    def of(cls, error: Exception) -> "Failure":
        """What happened and where, while it is being handled; known errors need no traceback."""
        kind = type(error).__name__
        if isinstance(error, SSLBenchError):
            return cls(kind=kind, message=str(error))
        message = ", ".join([f"{kind}: {error}", *getattr(error, "__notes__", [])])
        return cls(kind=kind, message=message, traceback=traceback.format_exc())


class Environment(Settings):
    """Where numbers were made. No part of any identity."""

    sslbench: str
    commit: str | None
    python: str
    packages: dict[str, str]
    machine: str
    device: str
    threads: int
    devices: int = 1  # that shared the work


class Record(Settings):
    """One evaluation of one run."""

    schema_version: int = SCHEMA_VERSION
    run: str
    evaluation: str  # the plugin
    dataset: str
    identity: str  # hash of the resolved request
    status: Literal["done", "failed", "skipped"]
    reason: str | None = None
    failure: Failure | None = None
    scores: dict[str, Score] = {}
    headline: str = ""  # the score that stands for the evaluation
    chosen: dict[str, Any] = {}
    fingerprint: dict[str, Any] = {}
    fingerprint_sha256: str = ""
    encoder_digest: str = ""
    outcomes_sha256: str | None = None
    spread_sha256: str | None = None  # of what intervals and tests are computed from
    log: dict[str, float] = {}
    seconds: float = 0.0
    peak_memory_gib: float = 0.0  # 0: not measured, in records of before
    environment: Environment | None = None
    created: str = ""


class Manifest(Settings):
    """The facts of one run."""

    schema_version: int = SCHEMA_VERSION
    run: str
    hash: str
    config: dict[str, Any]
    status: Literal["done", "failed"]
    failure: Failure | None = None
    data_digest: str = ""
    encoder_digest: str = ""
    parameters: int = 0  # of the encoder
    steps: int = 0
    images_seen: int = 0
    seconds: float = 0.0
    peak_memory_gib: float = 0.0
    losses: dict[str, float] = {}  # the last logged terms
    health: Health | None = None  # None: made before there were verdicts, or failed of other causes
    environment: Environment | None = None
    created: str = ""


class Row(Settings):
    """One row of a suite's table: which run it is, and what describes it."""

    label: str  # hcsc@released-code
    seed: int
    run: str
    title: str
    card: dict[str, Any] = {}
    params: dict[str, Any] = {}  # resolved and flat, for the columns in which rows differ
    notes: tuple[str, ...] = ()  # exceptions, shown under the table
    evaluations: dict[str, str] = {}  # the suite's key -> the record's file name without ending
    skipped: dict[str, str] = {}  # the suite's key -> why it cannot apply


class PlanFile(Settings):
    """What the last ``run`` of a suite or ``ablate`` of a study consisted of, for the tables."""

    schema_version: int = SCHEMA_VERSION
    suite: str
    title: str
    command: str
    rows: tuple[Row, ...]
    tables: dict[str, Any]
    study: StudyFacts | None = None  # of an ablation: which rows are compared, and as what

    def part(self, table: str) -> PartFacts | None:
        """The part of a study that a table shows; None where the plan is a suite's."""
        parts = self.study.parts if self.study is not None else ()
        return next((part for part in parts if part.name == table), None)

    def crossing(self, table: str) -> PartFacts | None:
        """The part of a study of which a table shows how two factors interact."""
        parts = self.study.parts if self.study is not None else ()
        return next((part for part in parts if table in part.interactions), None)


class Store:
    """A results folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run_folder(self, run: str) -> Path:
        return self.root / "runs" / plain_name(run)

    def table_folder(self, suite: str) -> Path:
        return self.root / "tables" / plain_name(suite)

    @property
    def features_folder(self) -> Path:
        """Shared by all runs, evaluations and suites."""
        return self.root / "features"

    def evaluation_file(self, run: str, evaluation: str, ending: str = "json") -> Path:
        return self.run_folder(run) / "evaluations" / f"{plain_name(evaluation)}.{ending}"

    def manifest(self, run: str) -> Manifest | None:
        """The manifest of a run, or None. Raises StoreError: damaged, edited or of another run."""
        path = self.run_folder(run) / "manifest.json"
        return _in_place(path, _read(path, Manifest), run)

    def record(self, run: str, evaluation: str) -> Record | None:
        """A record by its file name, or None. Raises StoreError as ``manifest``."""
        path = self.evaluation_file(run, evaluation)
        found = _in_place(path, _read(path, Record), run)
        if found is not None and not found.identity.startswith(evaluation.rpartition("-")[2]):
            raise StoreError(f"{path}: {_STRAY.format(f'evaluation {found.identity}')}")
        return found

    def unsealed_record(self, run: str, evaluation: str) -> Record | None:
        """The same, but also what it says since it was edited: to tell what is wrong with it."""
        return _read(self.evaluation_file(run, evaluation), Record, sealed=False)

    def plan(self, suite: str) -> PlanFile | None:
        return _read(self.table_folder(suite) / "plan.json", PlanFile)

    def write_manifest(self, manifest: Manifest) -> None:
        _write_sealed(self.run_folder(manifest.run) / "manifest.json", manifest)

    def write_record(self, name: str, record: Record) -> None:
        _write_sealed(self.evaluation_file(record.run, name), record)

    def write_plan(self, plan: PlanFile) -> None:
        _write_sealed(self.table_folder(plan.suite) / "plan.json", plan)

    def check_writable(self) -> None:
        """Raises UnwritableError before anything is computed for nothing."""
        probe = self.root / f".write-test-{uuid4().hex}"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise UnwritableError(
                f"results folder {self.root} cannot be written ({error.strerror}). "
                "Choose another with --results"
            ) from error


def plain_name(name: str) -> str:
    """The name of a run, record, suite or table, which may be a stranger's, as a file's name.

    Raises StoreError for one that would lead out of its folder or that no file can have.
    """
    if not is_file_name(name):
        raise StoreError(f"{name!r} is no name of a run, a record, a suite or a table")
    return name


def _read(path: Path, cls: type[T], *, sealed: bool = True) -> T | None:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(
            f"{path}: damaged or unreadable ({error}). Remove it to redo it"
        ) from error
    version = tree.get("schema_version") if isinstance(tree, dict) else None
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{path}: schema_version is {version!r}, this sslbench reads {SCHEMA_VERSION}. "
            "Remove the file to redo it, or read it with the version that wrote it"
        )
    seal = tree.pop(SEAL, None)
    try:
        found = build(cls, tree, str(path))
    except ConfigError as error:
        raise StoreError(f"{error}. Remove the file to redo it") from error
    if sealed and seal != fingerprint(tree):
        raise EditedError(
            f"{path}: its digest does not fit what it says, so it was edited or damaged since it "
            "was written (or written by an sslbench of before there were digests). Remove it to "
            "redo it"
        )
    return found


def _in_place(path: Path, found: R | None, run: str) -> R | None:
    """What was read, unless it is another run's: sealed as that one's, it would pass for a fact."""
    if found is not None and found.run != run:
        raise StoreError(f"{path}: {_STRAY.format(f'run {found.run}')}")
    return found


def write_json(path: Path, item: Settings) -> None:
    _write_tree(path, item.model_dump(mode="json"))


def _write_sealed(path: Path, item: Settings) -> None:
    tree = item.model_dump(mode="json")
    _write_tree(path, {**tree, SEAL: fingerprint(tree)})


def _write_tree(path: Path, tree: Tree) -> None:
    # Unsorted: a plan's columns stand in the suite's order.
    write_text(path, json.dumps(tree, indent=1, allow_nan=False) + "\n")


def now() -> str:
    """The time of a record, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
