"""A memory bank of which ranks hold a part each, against the bank of one process."""

import socket
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sslbench import distributed
from sslbench.nn import MemoryBank, unit
from sslbench.nn.bank import whole_bytes, whole_state

IMAGES, DIM, RANKS = 11, 4, 2  # which ranks do not divide
CPU = torch.device("cpu")


class Holder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.bank = MemoryBank(IMAGES, DIM)
        self.head = nn.Linear(DIM, DIM)


def asked(holder: Holder) -> dict[str, Tensor]:
    """All that a method asks of a bank, twice, with a change in between."""
    draws = torch.Generator().manual_seed(1)
    found = {}
    for turn in range(2):
        query = torch.randn(3, DIM, generator=draws, requires_grad=True)
        index = torch.tensor([[0, 5, 10], [6, 2, 9]][turn])
        columns = torch.cat([index[:, None], torch.randint(IMAGES, (3, 6), generator=draws)], 1)
        some = holder.bank.logits(unit(query), columns, 0.5)
        every = holder.bank.logits(unit(query), None, 0.5)
        holder.bank.update(index, unit(query), 0.5)
        (some.square().sum() + every.exp().sum()).backward()
        assert query.grad is not None
        found |= {f"{turn} some": some, f"{turn} every": every, f"{turn} gradient": query.grad}
    return {**found, "whole": holder.bank.whole().clone()}


def _as_rank(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        for key, value in {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": RANKS}.items():
            patch.setenv(key, str(value))
        patch.setenv("MASTER_ADDR", "127.0.0.1")
        patch.setenv("MASTER_PORT", (folder / "port").read_text())
        with distributed.group(CPU):
            holder = Holder()
            found = asked(holder)
            state = whole_state(holder)
            assert (state is None) == (rank != 0)
            size = whole_bytes(holder)
            anew = Holder()
            anew.load_state_dict(torch.load(folder / "alone.pt"))
            rows = {"own": holder.bank.features, "loaded": anew.bank.features}
            torch.save((found, state, size, rows), folder / f"{rank}.pt")


@pytest.fixture(scope="module")
def alone() -> tuple[dict[str, Tensor], Holder]:
    holder = Holder()
    return asked(holder), holder


@pytest.fixture(scope="module")
def ranks(
    alone: tuple[dict[str, Tensor], Holder], tmp_path_factory: pytest.TempPathFactory
) -> list:
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        (folder / "port").write_text(str(free.getsockname()[1]))
    torch.save(alone[1].state_dict(), folder / "alone.pt")
    torch.multiprocessing.spawn(_as_rank, (folder,), nprocs=RANKS)
    return [torch.load(folder / f"{rank}.pt") for rank in range(RANKS)]


def test_every_rank_is_told_what_one_process_finds(alone, ranks):
    for found, *_ in ranks:
        assert found.keys() == alone[0].keys()
        for name, value in alone[0].items():
            torch.testing.assert_close(found[name], value, msg=lambda m, n=name: f"{n}: {m}")


def test_a_rank_holds_its_own_rows_and_no_more(alone, ranks):
    own = [rows["own"] for *_, rows in ranks]
    assert [len(rows) for rows in own] == [5, 6]
    assert [rows.untyped_storage().nbytes() for rows in own] == [5 * DIM * 4, 6 * DIM * 4]
    torch.testing.assert_close(torch.cat(own), alone[1].bank.features)


def test_a_checkpoint_of_several_ranks_is_that_of_one_process_and_the_other_way_round(alone, ranks):
    _, state, size, _ = ranks[0]
    expected = alone[1].state_dict()
    assert state.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(state[name], value)
    assert size == whole_bytes(alone[1]) == sum(value.nbytes for value in expected.values())
    Holder().load_state_dict(state)
    loaded = torch.cat([rows["loaded"] for *_, rows in ranks])
    assert torch.equal(loaded, expected["bank.features"])
