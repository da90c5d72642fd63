import torch

from sslbench.data.random import (
    COLUMNS,
    CROP_TRIES,
    Column,
    derive_seed,
    normals,
    permutation,
    uniforms,
)


def splitmix(bits: int) -> int:
    """The finaliser in Python's unbounded integers."""
    mask = 2**64 - 1
    bits &= mask
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9 & mask
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB & mask
    return bits ^ (bits >> 31)


def test_uniforms_are_the_hash_computed_with_pythons_integers() -> None:
    golden = 0x9E3779B97F4A7C15
    index = torch.tensor([0, 1, 17, 2**40])
    table = uniforms(3, 5, index, 1, 4)
    for row, position in enumerate(index.tolist()):
        key = splitmix(position * golden + derive_seed(3, "view", 5, 1))
        for column in range(4):
            expected = (splitmix(key + (column + 1) * golden) >> 40) / 2**24
            assert table[row, column].item() == expected


def test_numbers_are_those_of_the_first_release() -> None:
    table = uniforms(0, 0, torch.tensor([0, 1, 1281166]), 0, 3)
    bits = (table * 2**24).long()
    assert bits.tolist() == [
        [6870090, 14537114, 973554],
        [14810279, 6270072, 12205545],
        [12536356, 16435941, 8339646],
    ]
    assert derive_seed(0, "order", 3) == 8472785119987584154
    assert permutation(0, 0, 8).tolist() == [3, 1, 7, 5, 0, 2, 6, 4]


def test_uniforms_lie_in_the_unit_interval_evenly() -> None:
    table = uniforms(0, 0, torch.arange(20000), 0, 8)
    assert table.dtype == torch.float32
    assert table.min() >= 0
    assert table.max() < 1
    for column in table.T:
        share = torch.histc(column, 50, 0, 1) / len(column)
        assert ((share - 0.02).abs() < 0.005).all()  # 5 standard deviations


def test_neighbouring_images_views_epochs_seeds_and_columns_are_independent() -> None:
    index = torch.arange(20000)
    base = uniforms(0, 0, index, 0, 4)
    others = [
        uniforms(0, 0, index + 1, 0, 4),
        uniforms(0, 0, index, 1, 4),
        uniforms(0, 1, index, 0, 4),
        uniforms(1, 0, index, 0, 4),
    ]
    correlation = torch.corrcoef(torch.cat([base, *others], 1).T) - torch.eye(20)
    assert correlation.abs().max() < 0.035  # 5 standard deviations


def test_a_row_depends_on_its_own_image_only() -> None:
    table = uniforms(7, 2, torch.arange(100), 1, COLUMNS)
    some = torch.tensor([42, 3, 99])
    assert torch.equal(uniforms(7, 2, some, 1, COLUMNS), table[some])
    assert torch.equal(uniforms(7, 2, some.to(torch.int32), 1, 5), table[some, :5])


def test_columns_do_not_overlap() -> None:
    assert [int(column) for column in Column] == list(range(len(Column)))
    assert max(Column) == Column.CROP_AREA_AND_RATIO
    assert Column.CROP_AREA_AND_RATIO + 2 * CROP_TRIES == COLUMNS


def test_normals_have_mean_zero_and_variance_one() -> None:
    drawn = normals(uniforms(0, 0, torch.arange(400), 0, 1)[:, 0], 301)
    assert drawn.shape == (400, 301)
    assert drawn.mean().abs() < 0.015
    assert (drawn.var() - 1).abs() < 0.03
    assert (drawn.abs() > 1.959964).float().mean().sub(0.05).abs() < 0.005
    assert drawn.isfinite().all()
    assert torch.corrcoef(drawn[:8]).sub(torch.eye(8)).abs().max() < 0.3


def test_permutations_hold_every_position_once_and_differ() -> None:
    orders = [permutation(0, 0, 1000), permutation(0, 1, 1000), permutation(1, 0, 1000)]
    for order in orders:
        assert order.sort().values.tolist() == list(range(1000))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (orders[one] == orders[other]).float().mean() < 0.01
    assert torch.corrcoef(torch.stack([orders[0], torch.arange(1000)]).float())[0, 1].abs() < 0.15


def test_seeds_of_other_names_differ() -> None:
    seeds = {
        derive_seed(*axes)
        for axes in ((0,), (1,), (0, "a"), (0, "b"), (0, 1), (0, "1"), (0, "a", "b"), (0, "a/b"))
    }
    assert len(seeds) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)
