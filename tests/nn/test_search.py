"""Nearest neighbours: both ways against a full sort."""

import pytest
import torch
from torch.nn.functional import normalize

from sslbench.nn import search


def rows(n, seed):
    return normalize(torch.randn(n, 12, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("neighbours", [1, 7, 150, 300])
@pytest.mark.parametrize("way", ["_by_faiss", "_by_torch"])
def test_neighbours_are_those_of_a_full_sort(monkeypatch, way, neighbours):
    monkeypatch.setattr(search, "_by_faiss", getattr(search, way))
    monkeypatch.setattr(search, "QUERIES", 17)
    monkeypatch.setattr(search, "BANK", 64)
    queries, bank = rows(50, 0), rows(300, 1)
    similarity, position = search.nearest(queries, bank, neighbours)
    expected, order = (queries @ bank.T).sort(dim=1, descending=True)
    torch.testing.assert_close(similarity, expected[:, :neighbours])
    assert torch.equal(position, order[:, :neighbours])


def test_of_equal_neighbours_the_first_comes_first():
    bank = rows(5, 0).repeat(4, 1)  # every row four times
    _, position = search.nearest(bank[:5], bank, 4)
    assert position.tolist() == [[row, row + 5, row + 10, row + 15] for row in range(5)]


@pytest.mark.parametrize("neighbours", [0, 6])
def test_there_must_be_as_many_rows_as_neighbours(neighbours):
    with pytest.raises(ValueError, match="of 5 rows"):
        search.nearest(rows(2, 0), rows(5, 1), neighbours)
