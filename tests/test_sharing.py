"""Two processes on one results folder: each stage is done once, whoever comes first."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sslbench.errors import Interrupted, StoreError, UnwritableError
from sslbench.sharing import in_turn, locked, table_locked
from sslbench.store import Store

HOLD = """
import sys, time
from pathlib import Path
from sslbench.sharing import locked
from sslbench.store import Store
with locked(Store(Path(sys.argv[1])), "busy") as mine:
    print(mine, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, which holds the lock of run ``busy``."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "True"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def _walk(store: Store, work: list[str], said: list[str], stop_after: int = 10**6) -> list[str]:
    """Runs are named by what is before the dash."""
    calls = iter(range(10**6))
    turns = in_turn(
        store,
        work,
        lambda one: one.partition("-")[0],
        stopped=lambda: next(calls) >= stop_after,
        waiting=said.append,
    )
    return list(turns)


@pytest.mark.parametrize("error", [NotImplementedError("no locks"), OSError(37, "No locks")])
def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    for lock in (locked(Store(tmp_path), "run"), table_locked(Store(tmp_path), "suite")):
        with pytest.raises(UnwritableError, match=r"\.lock cannot be locked .*--results"), lock:
            pass


def test_a_table_is_changed_by_one_process_at_a_time(tmp_path: Path) -> None:
    store = Store(tmp_path)
    order: list[str] = []

    def wait() -> None:
        with table_locked(store, "tiny"):
            order.append("second")

    with table_locked(store, "tiny"):
        other = threading.Thread(target=wait)
        other.start()
        other.join(0.3)
        order.append("first")
    other.join(60)
    assert order == ["first", "second"]


def test_a_run_that_another_process_holds_comes_last_and_whole(
    tmp_path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: (holder.kill(), holder.wait()))
    said: list[str] = []
    work = ["busy-train", "busy-knn", "free-train", "free-knn"]
    assert _walk(Store(tmp_path), work, said) == [*work[2:], *work[:2]]
    assert said == ["waiting for another process, which works on busy"]


def test_the_lock_of_a_killed_process_is_free(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    store = Store(tmp_path)
    with locked(store, "busy") as mine:
        assert not mine
    holder.kill()
    holder.wait()
    with locked(store, "busy") as mine:
        assert mine


def test_who_waits_can_be_stopped(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(Interrupted, match="another process goes on"):
        _walk(Store(tmp_path), ["busy-train"], [], stop_after=1)


def test_a_lock_is_let_go_when_the_work_raises(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(ValueError, match="of the work"), locked(store, "run"):
        raise ValueError("of the work")
    with locked(store, "run") as mine:
        assert mine


@pytest.mark.parametrize("name", ["../out", "a/b", "a\\b", "", "..", ".hidden", "a\nb", "c:d"])
def test_no_name_leads_out_of_the_results_folder(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path)
    for path in (
        lambda: store.run_folder(name),
        lambda: store.table_folder(name),
        lambda: store.evaluation_file("run", name),
    ):
        with pytest.raises(StoreError, match="no name of a run"):
            path()


@pytest.mark.slow
def test_two_calls_at_once_share_the_work_and_do_every_stage_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sslbench", "run", "--suite", "smoke", "--results"]
    command += [str(tmp_path), "--workers", "0"]
    calls = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [call.communicate(timeout=900) for call in calls]
    assert [call.returncode for call in calls] == [0, 0], told
    done = [
        line.partition(":")[0]
        for out, _ in told
        for line in out.splitlines()
        if " (seed 0) " in line and " in " in line
    ]
    assert len(done) == len(set(done))
    runs = list(tmp_path.glob("runs/*"))
    records = list(tmp_path.glob("runs/*/evaluations/*.json"))
    assert len(done) == len(runs) + len(records)
    for path in records:
        assert json.loads(path.read_text())["status"] == "done"
    assert not list(tmp_path.rglob("*.tmp"))
