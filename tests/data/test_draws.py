"""The counter-based generator under the embedded data, subsets and held-out images."""

import numpy as np

from sslbench.data.draws import Draws, balanced_classes, permutation

FIRST_BITS = [
    ["0x7ccb3c10a5379abd", "0x442b1c731a90113a"],
    ["0x47d0243b99128bb3", "0x2cb126f36ab74378"],
]


def test_a_row_depends_on_its_position_only() -> None:
    many = Draws(3, "train", range(100)).uniform("hue", 4)
    few = Draws(3, "train", [41, 7]).uniform("hue", 4)
    np.testing.assert_array_equal(few, many[[41, 7]])
    np.testing.assert_array_equal(
        Draws(3, "train", range(100))[np.array([7])].uniform("hue", 4), few[1:]
    )


def test_seed_stream_and_name_each_give_other_numbers() -> None:
    draws = [
        Draws(0, "train", range(50)),
        Draws(1, "train", range(50)),
        Draws(0, "test", range(50)),
    ]
    rows = [d.uniform("a", 8) for d in draws] + [draws[0].uniform("b", 8)]
    for i, one in enumerate(rows):
        for other in rows[:i]:
            assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.2


def test_the_numbers_are_those_of_the_first_release() -> None:
    """Every digest and every subset rests on these; a change must raise VERSION."""
    bits = Draws(0, "train", [0, 1]).bits("hue", 2)
    assert [[hex(value) for value in row] for row in bits.tolist()] == FIRST_BITS


def test_uniforms_are_uniform_and_noise_is_standard() -> None:
    draws = Draws(0, "x", range(2000))
    unit = draws.uniform("u", 50)
    assert unit.min() >= 0
    assert unit.max() < 1
    counts = np.histogram(unit, bins=20, range=(0, 1))[0]
    assert np.abs(counts / counts.mean() - 1).max() < 0.06
    noise = draws.noise("n", 50)
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 1) < 0.01
    # Neighbouring positions and columns are independent.
    assert abs(np.corrcoef(unit[:-1].ravel(), unit[1:].ravel())[0, 1]) < 0.015
    assert abs(np.corrcoef(unit[:, :-1].ravel(), unit[:, 1:].ravel())[0, 1]) < 0.015


def test_a_permutation_holds_every_number_once() -> None:
    order = permutation(0, "subset/train", 1000)
    assert sorted(order) == list(range(1000))
    assert (order != permutation(1, "subset/train", 1000)).mean() > 0.9


def test_classes_are_balanced_and_do_not_depend_on_the_count() -> None:
    large, small = (
        balanced_classes(0, "objects/train", 360, 36),
        balanced_classes(0, "objects/train", 50, 36),
    )
    assert np.bincount(large).tolist() == [10] * 36
    np.testing.assert_array_equal(large[:50], small)
