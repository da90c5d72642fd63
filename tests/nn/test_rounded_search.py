"""Rows ruled out in bfloat16 are none of the nearest: against a full sort in double precision."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from sslbench.nn import rounded_search, search
from sslbench.nn.rounded_search import RoundedBank

CPU = torch.device("cpu")


def drawn(n, dim, seed):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def sorted_all(queries, bank, neighbours):
    cosines = normalize(queries.double()) @ normalize(bank.double()).T
    values, order = cosines.sort(dim=1, descending=True, stable=True)
    return values[:, :neighbours], order[:, :neighbours]


@pytest.fixture
def with_bf16(monkeypatch):
    """As on a CPU that has it, whatever this one has."""
    monkeypatch.setattr(search, "has_bf16", lambda device: True)


@pytest.mark.parametrize("similarities", [1, 2**16, 2**23])
@pytest.mark.parametrize(("rows", "dim", "neighbours"), [(3001, 24, 20), (2050, 96, 1)])
def test_no_neighbour_is_lost(monkeypatch, similarities, rows, dim, neighbours):
    monkeypatch.setattr(rounded_search, "SIMILARITIES", similarities)
    queries, bank = normalize(drawn(101, dim, 0)), 3 * drawn(rows, dim, 1) + 0.5
    values, columns, unanswered = RoundedBank(bank).nearest(queries, neighbours)
    expected, order = sorted_all(queries, bank, neighbours)
    assert not unanswered.any()
    assert torch.equal(columns, order)
    torch.testing.assert_close(values.double(), expected, atol=1e-6, rtol=0)


def test_a_neighbour_whose_cosine_rounding_makes_the_smallest_is_found():
    # Every part of the nearest lies below the middle of two numbers of bfloat16 and is rounded
    # down; parts of the others lie just above the middle of two numbers and are rounded up.
    dim, step = 167, 2.0**-11  # between numbers of bfloat16 from 1/16 to 1/8
    below = math.floor(dim**-0.5 / step) * step
    nearest = torch.full((1, dim), dim**-0.5)
    assert nearest.bfloat16()[0, 0] == below
    middles = torch.tensor([below - 0.49 * step, below + 0.51 * step])
    share = (1 / dim - middles[0] ** 2) / (middles[1] ** 2 - middles[0] ** 2)
    others = middles[(torch.arange(dim) < round(float(share) * dim)).long()].repeat(100, 1)
    bank = torch.cat([others, nearest])
    rounded = normalize(bank).bfloat16().float() @ nearest[0]
    assert rounded[-1] < rounded[0] - 0.005
    _, columns, _ = RoundedBank(bank).nearest(nearest, 1)
    assert columns.tolist() == [[100]]


def test_what_the_bank_alone_loses_counts():
    # The query is one of bfloat16; a row's parts are of two sizes, all rounded down or all up.
    step = 2.0**-10  # between numbers of bfloat16 from 1/8 to 1/4
    query = torch.full((1, 64), 0.125)
    assert torch.equal(query.bfloat16().float(), query)

    def row(above):
        low, high = 0.125 + above * step, 0.125 + (1 + above) * step
        share = (1 / 63 - low**2) / (high**2 - low**2)
        parts = torch.where(torch.arange(64) < round(share * 63), high, low)
        parts[63] = 0
        return parts

    nearest, others = row(0.49), row(0.51).repeat(100, 1)
    others[:, 63] = -0.001
    bank = torch.cat([others, nearest[None]])
    rounded = normalize(bank).bfloat16().float() @ query[0]
    assert rounded[-1] < rounded[0] - 0.007
    values, columns, unanswered = RoundedBank(bank).nearest(query, 1)
    assert not unanswered.any()
    assert columns.tolist() == sorted_all(query, bank, 1)[1].tolist() == [[100]]
    assert values.item() == pytest.approx(float(normalize(bank)[100] @ query[0]), abs=1e-6)


def test_of_equal_cosines_the_first_come_first():
    axes = torch.eye(16)[torch.randint(16, (2000,), generator=torch.Generator().manual_seed(0))]
    bank = axes * torch.tensor([0.5, 1, 4]).repeat(667)[:2000, None]
    _, columns, unanswered = RoundedBank(bank).nearest(torch.eye(16), 50)
    for axis in range(16):
        if not unanswered[axis]:
            assert columns[axis].tolist() == axes[:, axis].nonzero()[:50, 0].tolist()
    assert not unanswered.all()


def test_a_query_with_too_many_candidates_is_not_answered_but_by_the_search_as_a_whole(with_bf16):
    alike = torch.ones(4000, 32) + 1e-4 * drawn(4000, 32, 0)
    bank = torch.cat([alike, drawn(4000, 32, 1)])
    queries = torch.cat([torch.ones(3, 32), drawn(5, 32, 2)])
    _, _, unanswered = RoundedBank(bank).nearest(normalize(queries), 10)
    assert unanswered[:3].all()
    assert not unanswered[3:].all()
    values, columns = search.nearest(queries, bank, 10, CPU)
    expected, order = sorted_all(queries, bank, 10)
    torch.testing.assert_close(values.double(), expected, atol=1e-6, rtol=0)
    assert torch.equal(columns[3:], order[3:])


def test_rows_of_zeros_and_of_extreme_length_are_what_they_are_to_the_search_in_float32(
    with_bf16, monkeypatch
):
    bank, queries = drawn(2000, 16, 0), drawn(30, 16, 1)
    bank[::7] = 0
    bank[1::7] *= 1e-15
    bank[2::7] *= 1e15
    found = search.nearest(queries, bank, 25, CPU)
    monkeypatch.setattr(search, "has_bf16", lambda device: False)
    values, columns = search.nearest(queries, bank, 25, CPU)
    torch.testing.assert_close(found[0], values, atol=1e-6, rtol=0)
    assert torch.equal(found[1], columns)


def test_a_bank_must_be_large_for_the_neighbours_wanted():
    assert RoundedBank.serves(32 * 200, 200)
    assert not RoundedBank.serves(32 * 200 - 1, 200)
