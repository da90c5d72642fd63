import math

import numpy as np
import pytest
import torch

from sslbench.metrics import collapse


def drawn(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def one_way(rows: int = 40, columns: int = 6) -> torch.Tensor:
    return drawn(1, columns).expand(rows, columns)


def two_clusters() -> torch.Tensor:
    """Ten rows each, as far apart as unit rows can be."""
    return torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]]).repeat_interleave(10, 0)


def test_the_rank_is_the_entropy_of_the_singular_values() -> None:
    for shape in ((50, 7), (5, 12)):  # more images than channels, and fewer
        features = drawn(*shape) * torch.arange(1, shape[1] + 1)
        values = np.linalg.svd(features.double().numpy(), compute_uv=False)
        shares = values / values.sum()
        expected = math.exp(-sum(p * math.log(p) for p in shares))
        assert collapse.effective_rank(features) == pytest.approx(expected, rel=1e-6)


def test_the_rank_is_all_of_an_isotropic_table_and_one_of_a_line() -> None:
    assert collapse.effective_rank(torch.eye(8)) == pytest.approx(8)
    assert collapse.effective_rank(drawn(30, 1) * drawn(1, 8, 1)) == pytest.approx(1, abs=1e-5)
    assert collapse.effective_rank(one_way()) == pytest.approx(1, abs=1e-5)
    assert collapse.effective_rank(two_clusters()) == pytest.approx(1)
    assert collapse.effective_rank(torch.zeros(5, 3)) == 0.0


def test_the_rank_does_not_depend_on_the_features_scale() -> None:
    features = drawn(30, 5)
    assert collapse.effective_rank(1e-6 * features) == pytest.approx(
        collapse.effective_rank(features), rel=1e-6
    )


def test_the_deviation_is_one_where_features_point_every_way_and_zero_where_one_way() -> None:
    axes = torch.cat([torch.eye(6), -torch.eye(6)])
    assert collapse.deviation(axes) == pytest.approx(1)
    assert collapse.deviation(drawn(4000, 32)) == pytest.approx(1, abs=0.01)
    assert collapse.deviation(one_way()) == pytest.approx(0, abs=1e-6)
    # +-1 in one channel of three: a third of the channels deviates, by 1.
    assert collapse.deviation(two_clusters()) == pytest.approx(math.sqrt(3) / 3)


def test_the_deviation_is_of_unit_rows() -> None:
    lengths = torch.arange(1, 41)[:, None]
    assert collapse.deviation(one_way() * lengths) == pytest.approx(0, abs=1e-6)


def test_alignment_and_uniformity_equal_a_double_loop() -> None:
    one, other = drawn(12, 5).numpy(), drawn(12, 5, 1).numpy()
    one = one / np.linalg.norm(one, axis=1, keepdims=True)
    other = other / np.linalg.norm(other, axis=1, keepdims=True)
    aligned = np.mean([np.sum((a - b) ** 2) for a, b in zip(one, other, strict=True)])
    pairs = [math.exp(-2 * np.sum((one[i] - one[j]) ** 2)) for i in range(12) for j in range(i)]
    first, second = torch.from_numpy(3 * one), torch.from_numpy(0.5 * other)
    assert collapse.alignment(first, second) == pytest.approx(aligned, rel=1e-5)
    assert collapse.uniformity(first) == pytest.approx(math.log(np.mean(pairs)), rel=1e-5)


def test_alignment_and_uniformity_at_their_ends() -> None:
    assert collapse.alignment(one_way(), one_way()) == 0
    assert collapse.alignment(one_way(), -one_way()) == pytest.approx(4)
    assert collapse.uniformity(one_way()) == pytest.approx(0, abs=1e-6)
    # 19 others: nine are where an image is, ten on the far side, at a squared distance of 4.
    expected = math.log((9 + 10 * math.exp(-8)) / 19)
    assert collapse.uniformity(two_clusters()) == pytest.approx(expected)


def test_neighbours_that_stay_equal_a_naive_search() -> None:
    one, other, k = drawn(25, 4), drawn(25, 4, 1), 3
    bank = torch.nn.functional.normalize(one)
    shares = []
    for image in range(25):
        found = []
        for row in (one[image], other[image]):
            cosines = [(float(row @ bank[j]), j) for j in range(25) if j != image]
            found.append({j for _, j in sorted(cosines, reverse=True)[:k]})
        shares.append(len(found[0] & found[1]) / k)
    assert collapse.neighbour_agreement(one, other, k) == pytest.approx(np.mean(shares))
    assert collapse.neighbour_agreement(one, 2 * one, k) == 1
    assert collapse.neighbour_agreement(one, -one, k) < 0.1


def test_usage_is_the_share_in_use_and_the_evenness_of_sizes() -> None:
    assert collapse.usage(torch.tensor([5, 5, 5, 5])) == pytest.approx((1, 1))
    assert collapse.usage(torch.tensor([20, 0, 0, 0])) == pytest.approx((0.25, 0))
    used, entropy = collapse.usage(torch.tensor([6, 2, 0, 0]))
    assert used == 0.5
    assert entropy == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(4))


def test_of_more_clusters_than_images_no_more_can_be_in_use_than_images() -> None:
    assert collapse.usage(torch.tensor([1, 1, 1, 0, 0, 0])) == pytest.approx((1, 1))
    assert collapse.usage(torch.tensor([0, 0])) == (0, 0)
    assert collapse.usage(torch.tensor([7])) == (1, 0)


def test_rows_that_coincide_count_once() -> None:
    rows = torch.nn.functional.normalize(drawn(3000, 16))  # in several blocks
    assert collapse.distinct(rows) == 3000
    assert collapse.distinct(rows[:1].expand(3000, 16)) == 1
    copies = torch.cat([rows[:1500], rows[:700] + 1e-4, rows[1500:]])
    assert collapse.distinct(copies) == 3000
    assert collapse.distinct(1000 * copies) == 3000
    assert collapse.distinct(torch.zeros(4, 3)) == 1
