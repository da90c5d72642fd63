import math

import pytest
import torch

from sslbench.errors import ConfigError
from sslbench.nn import sinkhorn_knopp


def scores(samples, prototypes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(samples, prototypes, generator=generator, dtype=torch.float64) - 1


def loop(given, epsilon, rounds):
    """Plain numbers, one after the other: the matrix of the paper, scaled in turns."""
    samples, prototypes = given.shape
    masses = [[math.exp(float(s) / epsilon) for s in row] for row in given]
    total = sum(map(sum, masses))
    masses = [[m / total for m in row] for row in masses]
    for _ in range(rounds):
        for column in range(prototypes):
            share = sum(row[column] for row in masses)
            for row in masses:
                row[column] /= share * prototypes
        for number, row in enumerate(masses):
            share = sum(row)
            masses[number] = [m / share / samples for m in row]
    return [[m * samples for m in row] for row in masses]


@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("epsilon", [0.01, 0.05, 10.0])
@pytest.mark.parametrize("shape", [(5, 7), (7, 5), (4, 1), (1, 4)])
def test_assignments_equal_a_loop_over_numbers(shape, epsilon, rounds):
    given = scores(*shape)
    found = sinkhorn_knopp(given, epsilon, rounds)
    assert found.dtype == torch.float64
    expected = torch.tensor(loop(given, epsilon, rounds), dtype=torch.float64)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-9)


def test_each_sample_has_mass_one_and_after_many_rounds_each_prototype_an_equal_share():
    found = sinkhorn_knopp(scores(12, 4), 0.5, rounds=200)
    torch.testing.assert_close(found.sum(1), torch.ones(12, dtype=torch.float64))
    torch.testing.assert_close(found.sum(0), torch.full((4,), 3.0, dtype=torch.float64))


def test_a_prototype_that_all_samples_prefer_gets_no_more_than_its_share():
    given = scores(12, 4)
    given[:, 0] += 5
    found = sinkhorn_knopp(given, 0.5, rounds=200)
    torch.testing.assert_close(found.sum(0), torch.full((4,), 3.0, dtype=torch.float64))
    # What all samples have in common cannot tell them apart.
    torch.testing.assert_close(found, sinkhorn_knopp(scores(12, 4), 0.5, rounds=200))


@pytest.mark.parametrize("size", [1.0, 1e3, 1e30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_of_any_size_give_numbers(size, dtype):
    given = (size * scores(6, 5)).to(dtype)
    given[0], given[:, 0] = -size, -size  # a sample and a prototype that nothing likes
    found = sinkhorn_knopp(given, 0.03)
    assert found.dtype == dtype
    assert found.isfinite().all()
    torch.testing.assert_close(found.sum(1), torch.ones(6, dtype=dtype))


def test_equal_samples_are_assigned_equally_and_equal_scores_evenly():
    found = sinkhorn_knopp(scores(4, 5).repeat(2, 1), 0.05)
    torch.testing.assert_close(found[:4], found[4:])
    even = sinkhorn_knopp(torch.zeros(3, 5), 0.05)
    torch.testing.assert_close(even, torch.full((3, 5), 0.2))


def test_the_order_of_the_samples_does_not_matter():
    given, order = scores(8, 5), torch.randperm(8, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(
        sinkhorn_knopp(given, 0.05)[order], sinkhorn_knopp(given[order], 0.05)
    )


def test_bfloat16_scores_are_taken_in_float32_and_stay_near():
    given = scores(16, 6).float()
    with torch.autocast("cpu", torch.bfloat16):
        found = sinkhorn_knopp(given.bfloat16(), 0.05)
    assert found.dtype == torch.float32
    # Scores are off by up to 2 ** -9, so logits by 0.04 and masses, over three rounds, by 0.1.
    torch.testing.assert_close(found, sinkhorn_knopp(given, 0.05), atol=0.1, rtol=0)
    torch.testing.assert_close(found.sum(1), torch.ones(16))


def test_assignments_have_no_gradient():
    assert not sinkhorn_knopp(scores(4, 3).requires_grad_(), 0.05).requires_grad


@pytest.mark.parametrize(("epsilon", "rounds"), [(0.0, 3), (-1.0, 3), (math.nan, 3), (0.05, 0)])
def test_no_round_and_an_epsilon_that_is_not_positive_are_refused(epsilon, rounds):
    with pytest.raises(ConfigError, match=r"positive epsilon.*and at least one"):
        sinkhorn_knopp(scores(4, 3), epsilon, rounds)
