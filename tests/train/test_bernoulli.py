"""Draws of yes and no: their probabilities, and that a device changes none of them."""

import pytest
import torch

from sslbench.nn import Chances
from sslbench.train import bernoulli as module


def bernoulli(seed, table, rows):
    return module.bernoulli(seed, Chances(table), rows)


@pytest.mark.parametrize("probability", [1 / 2048, 0.003, 0.25, 0.4999, 0.999, 2047 / 2048])
def test_an_event_happens_as_often_as_its_probability_says(probability):
    draws = 2_000_000
    found = bernoulli(3, torch.full((1, draws // 4), probability), torch.zeros(4).long())
    expected = draws * probability
    deviation = (draws * probability * (1 - probability)) ** 0.5
    assert abs(float(found.sum()) - expected) < 4 * deviation


def test_what_is_certain_happens_and_what_cannot_be_does_not():
    table = torch.tensor([[0.0], [1.0]]).expand(2, 100_000)
    assert bernoulli(0, table, torch.tensor([0, 1, 0])).sum(1).tolist() == [0, 100_000, 0]


def test_each_row_has_the_probabilities_that_it_names():
    table = torch.tensor([[0.1, 0.9], [0.9, 0.1]]).repeat_interleave(20_000, 1)
    shares = bernoulli(1, table, torch.tensor([1, 0])).float().view(2, 2, -1).mean(2)
    torch.testing.assert_close(shares, torch.tensor([[0.9, 0.1], [0.1, 0.9]]), atol=0.01, rtol=0)


def test_draws_are_independent_of_one_another():
    table = torch.full((1, 400_000), 0.3)
    one, other = bernoulli(5, table, torch.zeros(2).long()).float()
    for a, b in ((one, other), (one[1:], one[:-1]), (one[8:], one[:-8])):
        assert abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 4 / 400_000**0.5
    later = bernoulli(6, table, torch.zeros(1).long()).float()[0]
    assert abs(float(torch.corrcoef(torch.stack([one, later]))[0, 1])) < 4 / 400_000**0.5


def test_the_way_of_a_gpu_draws_the_same(monkeypatch):
    table = torch.rand(7, 3001, generator=torch.Generator().manual_seed(0))
    rows = torch.tensor([6, 0, 3, 3, 1])
    here = bernoulli(2, table, rows)
    monkeypatch.setattr(module, "_found", module._counted)
    assert torch.equal(bernoulli(2, table, rows), here)


def test_a_probability_in_half_precision_is_what_it_says():
    table = torch.full((1, 500_000), 0.25, dtype=torch.bfloat16)
    assert abs(float(bernoulli(4, table, torch.zeros(1).long()).float().mean()) - 0.25) < 0.003


def test_chances_of_which_a_part_was_replaced_are_those_of_the_whole_table():
    before, after = torch.rand(2, 5, 3000, generator=torch.Generator().manual_seed(0))
    place, rows = slice(700, 1500), torch.tensor([4, 0, 0, 2])
    replaced = Chances(before.clone())
    replaced.replace(place, after[:, place])
    before[:, place] = after[:, place]
    assert torch.equal(module.bernoulli(2, replaced, rows), bernoulli(2, before, rows))
