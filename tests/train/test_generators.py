"""Every generator goes on where it stood, through a checkpoint and back."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from sslbench.checkpoints import Checkpoints
from sslbench.train import generators

CPU = torch.device("cpu")


def _drawn() -> tuple[float, float, float, float]:
    return float(torch.rand(())), float(np.random.rand()), float(np.random.randn()), random.random()


def test_draws_after_a_checkpoint_are_those_that_would_have_come(tmp_path: Path) -> None:
    generators.seed_all(7)
    _drawn()  # numpy now holds the second of a pair of normal numbers
    checkpoints = Checkpoints(tmp_path / "checkpoint.pt", {"run": "a"})
    checkpoints.save({"generators": generators.states(CPU)})
    expected = [_drawn() for _ in range(3)]
    generators.seed_all(8)
    state = checkpoints.load()
    assert state is not None
    generators.restore(state["generators"], CPU, 7)
    assert [_drawn() for _ in range(3)] == expected


def test_ranks_draw_each_their_own_and_go_on_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def on(rank: int) -> None:
        monkeypatch.setattr("sslbench.distributed.rank", lambda: rank)

    drawn, states = [], []
    for rank in range(2):
        on(rank)
        generators.begin(7)
        first = _drawn()
        states.append(generators.states(CPU))
        drawn.append((first, _drawn()))
    assert drawn[0][0] != drawn[1][0]
    kept = {**states[0], "others": states[1:]}
    for rank in range(2):
        on(rank)
        generators.seed_all(8)
        generators.restore(kept, CPU, 7)
        assert _drawn() == drawn[rank][1]
    on(2)  # which was not there
    generators.restore(kept, CPU, 7)
    other = _drawn()
    generators.begin(7)
    assert _drawn() == other


def test_a_seed_decides_all_of_them() -> None:
    found = []
    for seed in (3, 3, 4, 2**63 + 5):
        generators.seed_all(seed)
        found.append(_drawn())
    assert found[0] == found[1]
    assert len(set(found)) == 3
