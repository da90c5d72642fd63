"""Few labelled images per class: nested, balanced, and the same whatever is measured."""

import numpy as np
import pytest

from sslbench.data.shots import by_class, check_shots, drawn_shots
from sslbench.errors import DataError

LABELS = np.random.default_rng(0).integers(0, 5, 400)


def test_images_are_gathered_by_class() -> None:
    members = by_class(LABELS, 7)
    assert len(members) == 7
    for cls, positions in enumerate(members):
        np.testing.assert_array_equal(positions, (cls == LABELS).nonzero()[0])
    assert len(members[5]) == len(members[6]) == 0


def test_each_class_gives_as_many_different_images_of_its_own() -> None:
    drawn = drawn_shots(0, 0, by_class(LABELS, 5), 20)
    for cls, positions in enumerate(drawn):
        assert len(set(positions.tolist())) == 20
        assert (LABELS[positions] == cls).all()


def test_fewer_shots_are_the_beginning_of_more() -> None:
    members = by_class(LABELS, 5)
    for draw in range(3):
        many = drawn_shots(4, draw, members, 20)
        for few in (1, 5):
            pairs = zip(drawn_shots(4, draw, members, few), many, strict=True)
            assert all((one == other[:few]).all() for one, other in pairs)


def test_seeds_draws_and_classes_draw_apart() -> None:
    everyone = [np.arange(400)] * 2  # both classes could draw any image
    draws = [
        *drawn_shots(0, 0, everyone, 40),
        *drawn_shots(0, 1, everyone, 40),
        *drawn_shots(1, 0, everyone, 40),
    ]
    for number, one in enumerate(draws):
        for other in draws[:number]:
            assert len(set(one.tolist()) & set(other.tolist())) < 16  # 4 expected


def test_a_class_is_drawn_from_its_own_images_only_whatever_else_there_is() -> None:
    whole = drawn_shots(0, 2, by_class(LABELS, 5), 3)
    emptied = by_class(LABELS, 5)
    emptied[1] = emptied[1][:3]
    for cls, positions in enumerate(drawn_shots(0, 2, emptied, 3)):
        if cls != 1:
            np.testing.assert_array_equal(positions, whole[cls])


def test_every_image_is_drawn_about_equally_often() -> None:
    members = [np.arange(10)]
    drawn = [drawn_shots(0, draw, members, 3)[0] for draw in range(2000)]
    counts = np.bincount(np.concatenate(drawn), minlength=10)
    assert np.abs(counts / 600 - 1).max() < 0.12


def test_a_class_with_too_few_images_is_named() -> None:
    members = [np.arange(5), np.arange(2), np.arange(0)]
    names = ["dog", "cat", "owl"]
    check_shots("pets", members[:1], 5, names.__getitem__)
    with pytest.raises(DataError, match="pets: 2 training images of 'cat', fewer than 3 shots"):
        check_shots("pets", members[:2], 3, names.__getitem__)
    with pytest.raises(DataError, match="'cat', fewer than 3 shots, and of 1 more classes too few"):
        check_shots("pets", members, 3, names.__getitem__)
