"""The runs of a results folder: what is damaged, missing, left over, or of another encoder."""

from collections.abc import Callable, Iterator
from pathlib import Path

from sslbench.checkpoints import Checkpoints
from sslbench.disk import file_digest
from sslbench.doctor.findings import Finding
from sslbench.errors import SSLBenchError, StoreError
from sslbench.sharing import LOCK, locked
from sslbench.spreads import ENDING
from sslbench.store import Manifest, Record, Store
from sslbench.train.export import import_tensors
from sslbench.train.outcome import CHECKPOINT

ENCODER, ARTIFACTS = "encoder.safetensors", "artifacts.safetensors"
AGAIN = "`sslbench run` does it again"


def examine_run(store: Store, run: str) -> Iterator[Finding]:
    """All findings of one run. One that another process works on is left alone."""
    folder = store.run_folder(run)
    with locked(store, run) as mine:
        if not mine:
            yield Finding("note", folder, "another process works on this run")
            return
        yield from _left_over(folder)
        try:
            manifest = store.manifest(run)
        except StoreError as error:
            yield Finding("fault", folder / "manifest.json", str(error))
            return
        yield from _checkpoints(folder / CHECKPOINT)
        if manifest is None:
            yield from _begun(folder)
            return
        if manifest.status == "failed":
            reason = manifest.failure.message if manifest.failure is not None else "unknown"
            yield Finding(
                "note", folder, f"pre-training failed: {reason}", "The same command retries"
            )
            return
        yield from _tensors(folder, manifest)
        yield from _evaluations(store, run, manifest)


def _left_over(folder: Path) -> Iterator[Finding]:
    """Files that writers left half done. The run's lock is ours: no writer is alive."""
    for path in sorted(folder.rglob(".*.tmp")):
        yield Finding("fault", path, "left by a process that was killed", remove=(path,))


def _begun(folder: Path) -> Iterator[Finding]:
    if any(path.name != LOCK for path in folder.iterdir()):
        yield Finding("note", folder, "begun and not finished", "The same command goes on with it")


def _checkpoints(path: Path) -> Iterator[Finding]:
    for damaged, fault in Checkpoints(path, {}).damaged().items():
        advice = "The state before it is taken, or training begins anew"
        yield Finding("fault", damaged, fault, advice, remove=(damaged,))


def _tensors(folder: Path, manifest: Manifest) -> Iterator[Finding]:
    for name, digest in ((ENCODER, manifest.encoder_digest), (ARTIFACTS, None)):
        path = folder / name
        if not path.exists():
            if name == ENCODER:
                yield Finding("fault", path, "missing", AGAIN)
            continue
        try:
            import_tensors(path, digest)
        except StoreError as error:
            yield Finding("fault", path, str(error), f"Remove the run's folder; {AGAIN}")


def _evaluations(store: Store, run: str, manifest: Manifest) -> Iterator[Finding]:
    folder = store.run_folder(run) / "evaluations"
    for name in sorted({_name(path) for path in folder.glob("[!.]*")} - {""}):
        path = store.evaluation_file(run, name)
        outcomes, spread = (store.evaluation_file(run, name, e) for e in ("parquet", ENDING))
        state = store.evaluation_file(run, name, CHECKPOINT)
        try:
            record = store.record(run, name)
        except StoreError as error:
            yield Finding("fault", path, str(error))
            continue
        yield from _checkpoints(state)
        if record is None:
            kept = tuple(p for p in (outcomes, spread) if p.exists())
            if kept:
                what = "outcomes without the record that would name them"
                yield Finding("fault", kept[0], what, AGAIN, remove=kept)
            elif state.exists():
                yield Finding("note", state, "begun and not finished", "The same command goes on")
            continue
        if record.status == "failed":
            yield Finding("note", path, f"failed: {record.reason}", "The same command retries")
        if record.status != "done":
            continue
        yield from _outcomes(path, record, outcomes, spread)
        if record.encoder_digest != manifest.encoder_digest:
            yield Finding("note", path, "measured an encoder that the run no longer has", AGAIN)
        elif left := Checkpoints(state, {}).files:
            yield Finding("fault", left[0], "of an evaluation that is finished", remove=left)


def _name(path: Path) -> str:
    """The record that a file belongs to; empty if it is none of ours."""
    endings = (
        CHECKPOINT,
        "checkpoint.next.pt",
        "checkpoint.previous.pt",
        ENDING,
        "parquet",
        "json",
    )
    for ending in endings:
        if path.name.endswith(f".{ending}"):
            return path.name.removesuffix(f".{ending}")
    return ""


def _outcomes(path: Path, record: Record, outcomes: Path, spread: Path) -> Iterator[Finding]:
    for file, digest in ((outcomes, record.outcomes_sha256), (spread, record.spread_sha256)):
        if digest is None:
            continue
        advice = f"Remove {path.name}, and `sslbench run` evaluates again"
        try:
            if file_digest(file) != digest:
                yield Finding("fault", file, "is not the file that its record names", advice)
        except OSError as error:
            yield Finding("fault", file, f"cannot be read ({error.strerror})", advice)


def examine_runs(store: Store, looked: Callable[[int, int], None]) -> Iterator[Finding]:
    """All runs, each told when it is looked at; ``looked`` hears how many of how many are done."""
    folders = [path for path in sorted((store.root / "runs").glob("[!.]*")) if path.is_dir()]
    for number, folder in enumerate(folders):
        looked(number, len(folders))
        try:
            yield from examine_run(store, folder.name)
        except SSLBenchError as error:
            yield Finding("fault", folder, str(error))
    looked(len(folders), len(folders))
