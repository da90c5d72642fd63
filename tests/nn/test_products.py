"""Products with drawn rows, against what gathers them all."""

import pytest
import torch

from sslbench.nn import drawn_products, products


def given(rows=50, targets=40, dim=6, count=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(rows, dim, generator=generator, dtype=dtype).requires_grad_()
    target = torch.randn(targets, dim, generator=generator, dtype=dtype).requires_grad_()
    return query, target, torch.randint(targets, (rows, count), generator=generator)


def gathered(query, target, drawn):
    return (query[:, None] * target[drawn]).sum(2)


# Blocks of one row, of a few with a rest, and one of all.
@pytest.mark.parametrize("block", [1, 7 * 30, 1 << 19])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_and_gradients_are_those_of_all_rows_at_once(block, dtype, monkeypatch):
    monkeypatch.setattr(products, "_BLOCK", block)
    query, target, drawn = given(dtype=dtype)
    found, expected = drawn_products(query, target, drawn), gathered(query, target, drawn)
    torch.testing.assert_close(found, expected)
    weight = torch.randn(found.shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    ours = torch.autograd.grad((found * weight).sum(), (query, target))
    theirs = torch.autograd.grad((expected * weight).sum(), (query, target))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_the_gradient_is_that_of_finite_differences():
    query, target, drawn = given(rows=4, targets=3)
    assert torch.autograd.gradcheck(lambda q, t: drawn_products(q, t, drawn), (query, target))


def test_a_row_drawn_twice_counts_twice_and_one_that_was_not_drawn_has_no_gradient():
    query, target, _ = given(rows=2, targets=5)
    drawn = torch.tensor([[4, 4], [1, 4]])
    (of_target,) = torch.autograd.grad(drawn_products(query, target, drawn).sum(), target)
    torch.testing.assert_close(of_target[4], 2 * query[0] + query[1])
    torch.testing.assert_close(of_target[1], query[1])
    assert not of_target[[0, 2, 3]].any()


def test_a_gradient_that_is_expanded_and_not_contiguous_is_right():
    both = given(dtype=torch.float32)
    for weight in (torch.ones(1, 1).expand(50, 5), torch.rand(5, 50).T):
        found = torch.autograd.grad(drawn_products(*both), both[:2], weight)
        expected = torch.autograd.grad(gathered(*both), both[:2], weight)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other)


def test_the_gradient_is_the_same_bit_by_bit_each_time():
    query, target, drawn = given(rows=3000, targets=2000, dim=64, count=16, dtype=torch.float32)
    runs = [
        torch.autograd.grad(drawn_products(query, target, drawn).square().sum(), target)[0]
        for _ in range(3)
    ]
    assert torch.equal(runs[0], runs[1])
    assert torch.equal(runs[0], runs[2])
