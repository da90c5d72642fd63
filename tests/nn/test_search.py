"""Nearest neighbours: all ways, in blocks of any size, against a full sort in numpy."""

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sslbench.nn import search

CPU = torch.device("cpu")
WAYS = pytest.mark.parametrize("way", ["_by_faiss", "_by_torch", "rounded"])


def rows(n, seed, dim=12):
    lengths = torch.rand(n, 1, generator=torch.Generator().manual_seed(seed + 100)) + 0.1
    return lengths * torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def tied_rows(n, seed):
    """Along an axis or a diagonal: cosines are exact and one of -1, -1/2, 0, 1/2 and 1."""
    draws = np.random.default_rng(seed)
    axis = np.eye(4)[draws.integers(4, size=n)]
    made = np.where(draws.random((n, 1)) < 0.5, axis, 1.0) * draws.choice([-1, 1], (n, 4))
    return torch.from_numpy(made * draws.choice([0.5, 2, 8], (n, 1))).float()


def sorted_all(queries, bank, neighbours):
    """Cosines and positions by a stable sort of all of them, in double precision."""
    lengths = [np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, bank)]
    units = [
        np.divide(x.numpy(), n, out=np.zeros(x.shape), where=n > 0)
        for x, n in zip((queries, bank), lengths, strict=True)
    ]
    cosines = units[0] @ units[1].T
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :neighbours]
    return np.take_along_axis(cosines, order, axis=1), order


@pytest.fixture
def blocks(monkeypatch):
    """Sets the way of a search and how many rows a block of bank and of queries has."""

    def set_(way, bank_rows, query_rows, dim):
        monkeypatch.setattr(search, "has_bf16", lambda device: way == "rounded")
        if way != "rounded":
            monkeypatch.setattr(search, "_by_faiss", getattr(search, way))
        monkeypatch.setattr(search, "NUMBERS", bank_rows * dim)
        monkeypatch.setattr(search, "QUERIES", query_rows)
        monkeypatch.setattr(search, "TIES", 3 * bank_rows)

    return set_


@pytest.mark.parametrize("neighbours", [1, 7, 150, 300])
@WAYS
def test_neighbours_are_those_of_a_full_sort_whatever_the_blocks(blocks, way, neighbours):
    queries, bank = rows(50, 0), rows(300, 1)
    cosines, order = sorted_all(queries, bank, neighbours)
    for bank_rows, query_rows in ((1000, 1000), (64, 17), (300, 50), (1, 50), (7, 1)):
        blocks(way, bank_rows, query_rows, dim=12)
        similarity, position = search.nearest(queries, bank, neighbours, CPU)
        np.testing.assert_allclose(similarity.numpy(), cosines, atol=1e-6)
        assert position.tolist() == order.tolist()


@pytest.mark.parametrize("neighbours", [1, 5, 40, 120])
@WAYS
def test_of_equal_neighbours_the_first_come_first_also_across_blocks(blocks, way, neighbours):
    queries, bank = tied_rows(30, 0), tied_rows(120, 1)
    bank[[3, 50, 119]] = 0.0
    cosines, order = sorted_all(queries, bank, neighbours)
    for bank_rows, query_rows in ((1000, 1000), (50, 11), (13, 30), (1, 7)):
        blocks(way, bank_rows, query_rows, dim=4)
        similarity, position = search.nearest(queries, bank, neighbours, CPU)
        np.testing.assert_allclose(similarity.numpy(), cosines, atol=1e-6)
        assert position.tolist() == order.tolist()


@WAYS
def test_a_row_of_zeros_has_cosine_zero_with_every_other(blocks, way):
    blocks(way, 2, 2, dim=3)
    bank = torch.tensor([[-1.0, 0, 0], [0, 0, 0], [2, 0, 0], [0, 0, 0]])
    similarity, position = search.nearest(
        torch.tensor([[3.0, 0, 0], [0, 0, 0], [0, 5, 0]]), bank, 4, CPU
    )
    assert similarity.tolist() == [[1, 0, 0, -1], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert position.tolist() == [[2, 1, 3, 0], [0, 1, 2, 3], [0, 1, 2, 3]]


def test_features_that_are_all_alike_have_the_first_rows_as_neighbours(blocks):
    blocks("_by_faiss", 40, 9, dim=4)
    alike = torch.full((100, 4), 0.5)
    _, position = search.nearest(alike[:20], alike, 15, CPU)
    assert position.tolist() == [list(range(15))] * 20


def test_a_mapped_bank_gives_what_one_in_memory_gives_and_stays_as_it_was(tmp_path, blocks):
    blocks("_by_faiss", 33, 8, dim=12)
    bank, queries = rows(200, 0), rows(20, 1)
    path = tmp_path / "bank.safetensors"
    save_file({"x": bank, "q": queries}, path)
    before = path.read_bytes()
    with safe_open(path, "pt") as file:
        mapped = search.nearest(file.get_tensor("q"), file.get_tensor("x"), 50, CPU)
    held = search.nearest(queries, bank, 50, CPU)
    assert all(torch.equal(one, other) for one, other in zip(mapped, held, strict=True))
    assert path.read_bytes() == before
    assert torch.equal(bank, rows(200, 0))  # normalised in copies


def test_every_block_is_told_and_the_last_is_the_last(blocks):
    blocks("_by_faiss", 64, 20, dim=12)
    told = []
    search.nearest(rows(50, 0), rows(130, 1), 5, CPU, on_progress=lambda *at: told.append(at))
    assert told == [(done, 9) for done in range(1, 10)]


@pytest.mark.parametrize("neighbours", [0, 6])
def test_there_must_be_as_many_rows_as_neighbours(neighbours):
    with pytest.raises(ValueError, match="of 5 rows"):
        search.nearest(rows(2, 0), rows(5, 1), neighbours, CPU)
