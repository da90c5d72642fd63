"""Whole rankings in blocks of any size, against a full sort in numpy."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from sslbench.nn import ranking
from sslbench.nn.search import nearest

CPU = torch.device("cpu")


def rows(n, seed, dim=12):
    lengths = torch.rand(n, 1, generator=torch.Generator().manual_seed(seed + 100)) + 0.1
    return lengths * torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def all_of(queries, gallery, own=None):
    return torch.cat(list(ranking.rankings(queries, gallery, CPU, own)))


def sorted_all(queries, gallery):
    """Positions by a stable sort in double precision."""
    one, other = (normalize(x.double()).numpy() for x in (queries, gallery))
    return np.argsort(-(one @ other.T), axis=1, kind="stable")


@pytest.mark.parametrize(("numbers", "sorted_"), [(2**25, 2**22), (12 * 7, 200), (1, 1)])
def test_rankings_are_those_of_a_full_sort_whatever_the_blocks(monkeypatch, numbers, sorted_):
    queries, gallery = rows(40, 0), rows(90, 1)
    monkeypatch.setattr(ranking, "NUMBERS", numbers)
    monkeypatch.setattr(ranking, "SORTED", sorted_)
    assert all_of(queries, gallery).tolist() == sorted_all(queries, gallery).tolist()


def test_the_first_of_a_ranking_are_the_nearest():
    queries, gallery = rows(40, 0), rows(500, 1)
    _, position = nearest(queries, gallery, 9, CPU)
    assert torch.equal(all_of(queries, gallery)[:, :9], position)


def test_of_equal_cosines_the_lower_position_comes_first():
    gallery = torch.tensor([[0, 1.0], [2, 0], [0, 0], [0, 3], [5, 0], [-1, 0], [0, 0]])
    queries = torch.tensor([[1.0, 0], [0, 0], [0, 2]])
    assert all_of(queries, gallery).tolist() == [
        [1, 4, 0, 2, 3, 6, 5],
        [0, 1, 2, 3, 4, 5, 6],
        [0, 3, 1, 2, 4, 5, 6],
    ]


def test_a_query_in_the_gallery_is_left_out_of_its_own_ranking_alone():
    gallery = rows(30, 1)
    gallery[7] = gallery[3]  # a copy is another image
    own = torch.tensor([3, 7, 20])
    found = all_of(gallery[own], gallery, own)
    whole = sorted_all(gallery[own], gallery)
    for row, position in enumerate(own.tolist()):
        assert found[row].tolist() == [p for p in whole[row] if p != position]
    assert found[:2, 0].tolist() == [7, 3]


def test_a_block_of_queries_has_so_many_that_their_similarities_fit():
    assert ranking.queries_at_once(50_000) * 50_000 <= ranking.SIMILARITIES
    assert ranking.queries_at_once(10**12) == 1


def test_zero_has_no_sign_in_a_ranking():
    similarity = torch.tensor([[-0.0, 0.0, -torch.inf, 1e-45, -0.0, -1.0, 0.0, 0.5]])
    assert ranking._order(similarity).tolist() == [[7, 3, 0, 1, 4, 6, 5, 2]]
