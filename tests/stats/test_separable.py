"""What may be called the best, and what may not."""

import numpy as np

from sslbench.stats.separable import Sample, separable_best


def seeds(*values: float) -> Sample:
    return Sample(dict(enumerate(values)), None)


def one(value: float, half: float) -> Sample:
    return Sample({0: value}, (value - half, value + half))


def test_one_seed_is_best_only_if_its_interval_lies_above_all_others() -> None:
    assert separable_best([one(50, 2), one(60, 2), one(40, 2)], True) == 1
    assert separable_best([one(50, 2), one(53, 2), one(40, 2)], True) is None


def test_less_can_be_better() -> None:
    assert separable_best([one(50, 2), one(60, 2)], False) == 0
    assert separable_best([seeds(5.0, 5.1, 5.2), seeds(4.0, 4.1, 4.2)], False) == 1


def test_a_single_value_without_an_interval_is_never_best() -> None:
    assert separable_best([Sample({0: 99.0}, None), one(1, 1)], True) is None


def test_seeds_are_compared_in_pairs() -> None:
    # Far apart between seeds, always 1 apart within them.
    a, b = seeds(40.0, 50.0, 60.1), seeds(39.0, 49.1, 59.0)

    assert separable_best([a, b], True) == 0


def test_overlapping_seeds_have_no_best() -> None:
    assert separable_best([seeds(45.0, 46.0, 44.0), seeds(44.5, 45.0, 44.9)], True) is None


def test_every_comparison_counts() -> None:
    strong, close, weak = seeds(50.0, 51.0, 50.5), seeds(49.0, 52.0, 50.0), seeds(1.0, 2.0, 1.5)

    assert separable_best([strong, weak], True) == 0
    assert separable_best([strong, close, weak], True) is None


def test_holms_correction_withholds_what_many_comparisons_explain() -> None:
    # Alone each pair has p = 0.040; beside another it has to be below 0.025.
    best, other = seeds(1.0, 2.0, 3.0), seeds(0.3, 0.8, 1.5)

    assert separable_best([best, other], True) == 0
    assert separable_best([best, other, other], True) is None


def test_too_few_common_seeds_are_no_evidence() -> None:
    assert (
        separable_best([Sample({0: 9.0, 1: 9.1}, None), Sample({1: 1.0, 2: 1.1}, None)], True)
        is None
    )
    assert separable_best([seeds(9.0, 9.1), one(1, 0.1)], True) is None


def test_a_row_alone_is_not_the_best_of_anything() -> None:
    assert separable_best([one(50, 1)], True) is None
    assert separable_best([], True) is None


def test_equal_methods_are_seldom_told_apart() -> None:
    generator = np.random.default_rng(0)
    found = 0
    for _ in range(400):
        rows = [seeds(*generator.normal(size=3)) for _ in range(4)]
        found += separable_best(rows, True) is not None
    assert found / 400 < 0.05
