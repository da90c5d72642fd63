"""How many worker processes a command starts."""

import os

import pytest

from sslbench.cli.options import worker_count


@pytest.mark.parametrize(("given", "count"), [(None, 3), (0, 0), (2, 2), (3, 3), (16, 3)])
def test_more_workers_than_cores_are_not_started_and_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, given: int | None, count: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 4, 5}, raising=False)
    said: list[str] = []
    assert worker_count(given, said.append) == count
    assert len(said) == (given == 16)
    assert "".join(said).startswith("--workers 16: 3 are used" if said else "")


def test_where_the_system_does_not_say_which_cores_all_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert worker_count(8, lambda line: None) == 5
