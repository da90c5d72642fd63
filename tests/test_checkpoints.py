"""Checkpoints that are torn, flipped, of others, or killed in the making."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from sslbench.checkpoints import Checkpoints
from sslbench.disk import file_digest
from sslbench.errors import StoreError, UnwritableError

OWNER = {"format": 1, "run": "abc"}


@pytest.fixture
def kept(tmp_path: Path) -> Checkpoints:
    """Steps 1 and 2 of a work."""
    checkpoints = Checkpoints(tmp_path / "checkpoint.pt", OWNER)
    assert checkpoints.load() is None
    for step in (1, 2):
        checkpoints.save({"step": step, "weights": torch.full((1000,), step / 3)})
    return checkpoints


def test_the_newest_state_comes_back_bit_for_bit(kept: Checkpoints) -> None:
    for mmap in (False, True):
        state = kept.load(mmap=mmap)
        assert state is not None
        assert state["step"] == 2
        assert torch.equal(state["weights"], torch.full((1000,), 2 / 3))


def test_two_are_kept_and_no_more(kept: Checkpoints) -> None:
    kept.save({"step": 3})
    assert sorted(path.name for path in kept.path.parent.iterdir()) == [
        "checkpoint.previous.pt",
        "checkpoint.pt",
    ]
    kept.remove()
    assert not list(kept.path.parent.iterdir())


def test_every_damage_is_detected_and_the_state_before_is_taken(
    kept: Checkpoints, caplog: pytest.LogCaptureFixture
) -> None:
    """100 files cut short and 100 with one bit flipped anywhere, the digest included."""
    whole = kept.path.read_bytes()
    generator = np.random.default_rng(0)
    for trial in range(200):
        place = int(generator.integers(len(whole)))
        torn = bytearray(whole)
        if trial % 2:
            del torn[place:]
        else:
            torn[place] ^= 1 << int(generator.integers(8))
        kept.path.write_bytes(torn)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            state = kept.load()
        assert state is not None
        assert state["step"] == 1
        assert f"{kept.path}: damaged" in caplog.text
        assert "going on from checkpoint.previous.pt" in caplog.text


def test_a_torn_newest_does_not_push_out_the_whole_one_before_a_new_one_is_whole(
    kept: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.path.write_bytes(kept.path.read_bytes()[:-1])

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnwritableError, match="No space left"):
        kept.save({"step": 3})
    monkeypatch.undo()
    state = kept.load()
    assert state is not None
    assert state["step"] == 1


def test_one_that_was_killed_before_its_name_was_given_counts(kept: Checkpoints) -> None:
    kept.save({"step": 3})
    kept.path.rename(kept.next)
    state = kept.load()
    assert state is not None
    assert state["step"] == 3


def test_nothing_whole_left_says_what_to_do(kept: Checkpoints) -> None:
    kept.path.write_bytes(b"")
    kept.previous.write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(StoreError, match="Remove what is damaged to begin anew") as caught:
        kept.load()
    assert str(kept.path) in str(caught.value)
    assert str(kept.previous) in str(caught.value)


def test_a_state_of_another_is_not_given(kept: Checkpoints) -> None:
    other = Checkpoints(kept.path, {"format": 1, "run": "other"})
    with pytest.raises(StoreError, match="belongs to format 1, run abc, expected format 1, run ot"):
        other.load()


def test_what_is_sealed_but_no_checkpoint_is_refused(tmp_path: Path) -> None:
    """A digest proves that nothing was damaged, not that it may be run: pickles are not."""
    import pickle

    path = tmp_path / "checkpoint.pt"
    path.write_bytes(pickle.dumps(print))
    seal = file_digest(path)
    with path.open("ab") as file:
        file.write(b"\nsha256:" + seal.encode())
    with pytest.raises(StoreError, match="not a checkpoint"):
        Checkpoints(path, OWNER).load()
