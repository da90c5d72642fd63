"""The files that hold frozen features, and the command that lists them and lets go of them."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sslbench.errors import Interrupted, StoreError
from sslbench.feature_files import (
    FeatureHeader,
    feature_files,
    feature_path,
    read_header,
)
from sslbench.feature_writing import begun, growing, write_features
from sslbench.store import Manifest, Store

Cli = Callable[..., subprocess.CompletedProcess[str]]
ROWS, DIM = 10, 6


def header(key: str, encoder_digest: str = "e" * 64, **fields: object) -> FeatureHeader:
    return FeatureHeader(
        **{
            "key": key,
            "encoder_digest": encoder_digest,
            "encoder": "resnet18",
            "dataset": "flowers",
            "split": "train",
            "layer": -1,
            "preprocessing": {"image_size": 32},
            "rows": ROWS,
            "dim": DIM,
            "sslbench": "0.1",
            "created": "2026-01-01T00:00:00+00:00",
            **fields,
        }
    )


def values(rows: int = ROWS) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, DIM)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A results folder with three files of two encoders, of which one has a run."""
    store = Store(tmp_path)
    for number, (key, digest) in enumerate((("a", "1" * 64), ("b", "2" * 64), ("c", "2" * 64))):
        path = feature_path(store.features_folder, key)
        write_features(path, header(key, digest), [values()])
        os.utime(path, (number + 1, number + 1))
    config = {"run": "moco-1", "hash": "h", "config": {}, "status": "done"}
    store.write_manifest(Manifest(**config, encoder_digest="2" * 64))
    return store


def left(store: Store) -> list[str]:
    return sorted(path.name[:1] for path in store.features_folder.glob("*.safetensors"))


def call(here: Cli, store: Store, *arguments: str) -> str:
    done = here("features", "--results", str(store.root), *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[10], [3, 3, 3, 1], [1] * 10])
def test_blocks_of_any_size_make_the_file_that_the_library_reads(
    tmp_path: Path, sizes: list[int]
) -> None:
    path = feature_path(tmp_path, "a")
    x = values()
    write_features(path, header("a"), np.split(x, np.cumsum(sizes)[:-1]))
    assert np.array_equal(load_file(path)["features"], x)
    assert read_header(path) == header("a")
    assert (path.stat().st_size - x.nbytes) % 64 == 0  # where the rows begin


def test_rows_before_an_interrupt_are_certain_and_the_rest_follows(tmp_path: Path) -> None:
    path, x = feature_path(tmp_path, "a"), values()
    write_features(path, header("a"), [x])
    whole = path.read_bytes()
    path.unlink()

    def blocks() -> Iterator[np.ndarray]:
        yield x[:4]
        yield x[4:7]
        raise Interrupted("stop")

    with pytest.raises(Interrupted):
        write_features(path, header("a"), blocks())
    assert not path.exists()
    rows, note = growing(path)
    assert begun(path, "b") is None  # other features
    left = begun(path, "a")
    assert left is not None
    assert left.rows == 7
    with rows.open("ab") as file:
        file.write(b"half a row that nobody noted")
    write_features(path, left.header, [x[7:]], begun(path, "a"))
    assert path.read_bytes() == whole
    assert not rows.exists()
    assert not note.exists()


def test_rows_that_do_not_fit_the_header_leave_no_file(tmp_path: Path) -> None:
    path = feature_path(tmp_path, "a")
    for blocks in ([values(9)], [values(), values(1)], [values()[:, :5]], [values().astype("f8")]):
        with pytest.raises(ValueError, match=r"expected 10|dim is 6"):
            write_features(path, header("a"), blocks)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("broken", ["shape", "type", "name", "schema", "field", "nothing"])
def test_a_file_of_another_make_is_refused_by_name(tmp_path: Path, broken: str) -> None:
    path = feature_path(tmp_path, "a")
    write_features(path, header("a"), [values()])
    size = int.from_bytes(path.read_bytes()[:8], "little")
    about = json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]
    tensors, x = {"features": values()}, values()
    if broken == "shape":
        tensors = {"features": x.reshape(DIM, ROWS)}
    elif broken == "type":
        tensors = {"features": x.view(np.int32)}
    elif broken == "name":
        tensors = {"rows": x}
    elif broken == "schema":
        about["schema_version"] = "2"
    elif broken == "field":
        del about["layer"]
    save_file(tensors, path, None if broken == "nothing" else about)
    with pytest.raises(StoreError, match=r"a\.safetensors: damaged features .*--prune"):
        read_header(path)


# ---- the command ------------------------------------------------------------------------------


def test_no_features_are_one_friendly_line(here: Cli, tmp_path: Path) -> None:
    out = call(here, Store(tmp_path))
    assert out == f"No features in {tmp_path}/features yet: evaluations put them there.\n"


def test_the_list_says_whose_they_are_and_how_much(here: Cli, store: Store) -> None:
    flat = [" ".join(line.split()) for line in call(here, store).splitlines()]
    assert flat[2].startswith("flowers train resnet18 22222222 output 10 x 6 0.00 MiB")
    assert flat[4].startswith("flowers train resnet18 11111111 output 10 x 6 0.00 MiB")
    assert flat[6:8] == ["resnet18 22222222 moco-1", "resnet18 11111111 none: --prune removes it"]
    assert flat[-1] == "Total: 3 files, 0.00 MiB"
    assert left(store) == ["a", "b", "c"]


def test_a_damaged_file_is_listed_with_its_fault(here: Cli, store: Store) -> None:
    feature_path(store.features_folder, "b").write_bytes(b"half")
    out = call(here, store)
    assert "damaged features" in out
    assert "3 files" in out


def test_prune_removes_what_no_run_has_and_what_nobody_can_read(here: Cli, store: Store) -> None:
    feature_path(store.features_folder, "b").write_bytes(b"half")
    abandoned, growing = (store.features_folder / f".{n}.safetensors.1.tmp" for n in "de")
    for path in (abandoned, growing):
        path.write_bytes(b"rows")
    os.utime(abandoned, (time.time() - 7200,) * 2)
    out = call(here, store, "--prune")
    assert left(store) == ["c"]
    assert not abandoned.exists()
    assert growing.exists()
    assert "removed flowers train, resnet18: a.safetensors" in out
    assert "Removed: 3 files" in out
    assert "Kept: 2 files" in out


def test_prune_keeps_all_where_it_cannot_tell_whose_they_are(here: Cli, store: Store) -> None:
    (store.run_folder("moco-1") / "manifest.json").write_text("{")
    done = here("features", "--results", str(store.root), "--prune")
    assert done.returncode == 2
    assert "damaged or unreadable" in done.stderr
    assert left(store) == ["a", "b", "c"]


def test_keep_removes_those_used_longest_ago(here: Cli, store: Store) -> None:
    size = feature_files(store.features_folder)[0].size
    os.utime(feature_path(store.features_folder, "a"), (9, 9))
    call(here, store, "--keep", str((2 * size + 1) / 2**30))
    assert left(store) == ["a", "c"]
    call(here, store, "--keep", str(2 * size / 2**30))
    assert left(store) == ["a", "c"]
    call(here, store, "--keep", "0")
    assert left(store) == []


def test_prune_and_keep_together_remove_no_file_twice(here: Cli, store: Store) -> None:
    out = call(here, store, "--prune", "--keep", "0")
    assert out.count("removed flowers") == 3
    assert "Removed: 3 files" in out
    assert "Kept: 0 files, 0.00 MiB" in out


def test_a_disk_that_fills_up_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    path, blocks = feature_path(tmp_path, "a"), [values()] * 1000
    write_features(path, header("a"), [values()])
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(StoreError, match=r"a\.safetensors cannot be written"):
            write_features(path, header("a", rows=10_000), blocks)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_command_imports_no_torch(store: Store) -> None:
    code = (
        "import sys; from sslbench.cli import app\n"
        f"app(['features', '--results', {str(store.root)!r}], standalone_mode=False)\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
