"""Records survive a killed process and a full disk, and damage is said."""

import errno
import json
from pathlib import Path

import pytest

from sslbench.disk import write_atomic
from sslbench.errors import EditedError, StoreError
from sslbench.store import Manifest, Record, Store


def manifest() -> Manifest:
    return Manifest(run="moco-x-s0-0", hash="0", config={"method": "moco"}, status="done")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_manifest(manifest())
    record = Record(run="moco-x-s0-0", evaluation="knn", dataset="d", identity="1", status="done")
    store.write_record("knn-d-1", record)
    assert store.manifest("moco-x-s0-0") == manifest()
    assert store.record("moco-x-s0-0", "knn-d-1") == record
    assert store.record("moco-x-s0-0", "other") is None
    assert not list(tmp_path.rglob("*.tmp"))


def test_what_was_edited_since_it_was_written_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = Record(run="r", evaluation="knn", dataset="d", identity="1", status="done")
    store.write_record("knn-d-1", record)
    path = store.evaluation_file("r", "knn-d-1")
    path.write_text(path.read_text().replace('"seconds": 0.0', '"seconds": 9.0'))

    with pytest.raises(EditedError, match="its digest does not fit what it says"):
        store.record("r", "knn-d-1")
    edited = store.unsealed_record("r", "knn-d-1")
    assert edited is not None
    assert edited.seconds == 9.0


def test_what_was_copied_from_another_run_or_evaluation_is_refused(tmp_path: Path) -> None:
    """Each is sealed, and true of what it was written for."""
    store = Store(tmp_path)
    for run in ("r", "other"):
        record = Record(run=run, evaluation="knn", dataset="d", identity="1", status="done")
        store.write_record("knn-d-1", record)
        store.write_manifest(manifest().model_copy(update={"run": run}))
    at = store.evaluation_file("r", "knn-d-1")
    at.with_name("knn-d-2.json").write_bytes(at.read_bytes())
    for path in (at, store.run_folder("r") / "manifest.json"):
        path.write_bytes(Path(str(path).replace("runs/r/", "runs/other/")).read_bytes())

    with pytest.raises(StoreError, match="of evaluation 1, so it was copied or renamed"):
        store.record("r", "knn-d-2")
    with pytest.raises(StoreError, match="of run other, so it was copied"):
        store.record("r", "knn-d-1")
    with pytest.raises(StoreError, match="of run other, so it was copied"):
        store.manifest("r")


def test_what_has_no_seal_is_not_believed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_manifest(manifest())
    path = store.run_folder("moco-x-s0-0") / "manifest.json"
    tree = json.loads(path.read_text())
    del tree["sha256"]
    path.write_text(json.dumps(tree))

    with pytest.raises(EditedError, match="before there were digests"):
        store.manifest("moco-x-s0-0")


def test_a_write_that_fails_leaves_the_old_file_and_no_scraps(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text("old")

    def full(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StoreError, match="No space left on device"):
        write_atomic(path, full)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_write_leaves_no_scraps(tmp_path: Path) -> None:
    def interrupted(temporary: Path) -> None:
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "file.json", interrupted)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "damaged"),
        ("[]", "schema_version is None"),
        ('{"schema_version": 99}', "schema_version is 99"),
        ('{"schema_version": 1, "runn": "x"}', "unknown key 'runn'"),
    ],
)
def test_a_damaged_or_foreign_manifest_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = Store(tmp_path).run_folder("r") / "manifest.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(StoreError, match=message) as caught:
        Store(tmp_path).manifest("r")
    assert str(path) in str(caught.value)


def test_a_folder_that_cannot_be_written_is_found_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="--results"):
        Store(tmp_path / "file" / "results").check_writable()
    Store(tmp_path / "new").check_writable()
