"""What may be called the best, and what cannot be told from it."""

from collections.abc import Mapping

import numpy as np
import pytest

from sslbench.stats.crossed import crossed
from sslbench.stats.paired import paired_p_value
from sslbench.stats.spread import Spread
from sslbench.stats.standing import standing

IMAGES = 400
Candidate = Mapping[int, Spread]


def run(right: int, images: int = IMAGES) -> Spread:
    """The first ``right`` images right: runs that nest, so that few of them disagree."""
    items = np.where(np.arange(images) < right, 100.0, 0.0)
    return Spread(float(items.mean()), items, "items")


def seeds(*right: int) -> Candidate:
    return {seed: run(number) for seed, number in enumerate(right)}


def test_one_seed_is_best_if_mcnemar_tells_it_apart() -> None:
    found = standing([seeds(200), seeds(240), seeds(160)], True)

    assert found is not None
    assert (found.best, found.tied, found.alone) == (1, (), True)
    assert (found.claim, found.test) == ("runs", "McNemar")
    assert found.p_values[1] is None


def test_what_is_not_told_apart_is_tied() -> None:
    found = standing([seeds(200), seeds(204), seeds(160)], True)

    assert found is not None
    assert (found.best, found.tied, found.alone) == (1, (0,), False)
    assert found.p_values[0] == pytest.approx(2 / 2**4)  # 4 of 4 images, the larger of the two
    assert found.p_values[2] is not None
    assert found.p_values[2] < 1e-6


def test_less_can_be_better() -> None:
    found = standing([seeds(200), seeds(240)], False)

    assert found is not None
    assert (found.best, found.alone) == (0, True)
    several = standing([seeds(200, 203, 201), seeds(240, 242, 243)], False)
    assert several is not None
    assert (several.best, several.alone) == (0, True)


def test_several_seeds_speak_of_the_methods() -> None:
    one, two = seeds(240, 243, 239), seeds(200, 204, 201)

    found = standing([two, one], True)

    assert found is not None
    assert (found.best, found.alone, found.claim) == (1, True, "methods")
    assert found.test == "crossed seeds x images"
    expected = crossed([one[seed].minus(two[seed]) for seed in range(3)]).p_value
    assert found.p_values == (pytest.approx(expected), None)


def test_differences_are_taken_over_the_common_seeds_whatever_their_order() -> None:
    one = {7: run(300), 1: run(240), 2: run(242)}
    two = {2: run(200), 9: run(100), 1: run(204)}

    found = standing([one, two], True)

    assert found is not None
    expected = crossed([one[seed].minus(two[seed]) for seed in (1, 2)]).p_value
    assert found.p_values[1] == pytest.approx(expected)
    assert found.claim == "methods"


def test_holms_correction_allows_for_the_number_of_comparisons() -> None:
    best, second, third = seeds(216), seeds(210), seeds(209)
    alone, _ = paired_p_value(best[0], second[0])
    other, _ = paired_p_value(best[0], third[0])
    assert other < alone < 0.05 < 4 * other

    pair, three = standing([best, second], True), standing([best, second, third], True)
    crowd = standing([best, second, third, third, third], True)

    assert pair is not None
    assert pair.p_values[1] == pytest.approx(alone)
    assert three is not None
    assert three.p_values[2] == pytest.approx(2 * other)
    assert three.alone
    assert crowd is not None
    assert crowd.tied == (1, 2, 3, 4)


@pytest.mark.parametrize(
    "other",
    [
        seeds(1),  # one seed against several
        {5: run(1), 6: run(2), 7: run(3)},  # no seed in common
        {2: run(1), 3: run(2), 4: run(3)},  # one seed in common
        {seed: run(1, IMAGES + 1) for seed in range(3)},  # another test set
        {seed: Spread(0.1, np.linspace(0, 0.2, IMAGES), "resamples") for seed in range(3)},
    ],
)
def test_what_cannot_be_compared_is_neither_tied_nor_told_apart(other: Candidate) -> None:
    found = standing([seeds(240, 241, 239), other, seeds(100, 103, 101)], True)

    assert found is not None
    assert (found.best, found.tied, found.uncompared) == (0, (), (1,))
    assert (found.claim, found.alone) == ("methods", len(other) == 1)
    assert found.p_values[:2] == (None, None)
    assert found.p_values[2] is not None


def test_one_better_run_of_a_single_seed_leads_nobody_and_keeps_others_from_standing_alone() -> (
    None
):
    found = standing([seeds(390), seeds(240, 241, 239), seeds(100, 103, 101)], True)

    assert found is not None
    assert (found.best, found.uncompared, found.alone) == (1, (0,), False)


def test_nothing_to_compare_says_nothing() -> None:
    assert standing([seeds(240), {1: run(100)}], True) is None
    assert standing([seeds(240, 241), seeds(100)], True) is None


def test_a_best_that_is_worse_over_the_common_seeds_is_no_evidence() -> None:
    lucky = {0: run(200), 1: run(201), 2: run(399)}
    steady = {0: run(240), 1: run(241)}

    found = standing([lucky, steady], True)

    assert found is not None
    assert (found.best, found.tied, found.p_values) == (0, (1,), (None, 1.0))


def test_a_row_alone_is_not_the_best_of_anything() -> None:
    assert standing([seeds(200)], True) is None
    assert standing([], True) is None


def test_equal_methods_seldom_stand_alone() -> None:
    generator = np.random.default_rng(0)
    alone = 0
    for _ in range(400):
        difficulty = generator.normal(size=IMAGES)
        candidates = []
        for _ in range(4):
            right = difficulty + generator.normal(size=(3, IMAGES)) > 0
            rows = [np.where(row, 100.0, 0.0) for row in right]
            candidates.append({s: Spread(float(r.mean()), r, "items") for s, r in enumerate(rows)})
        found = standing(candidates, True)
        alone += found is not None and found.alone
    assert alone / 400 < 0.05
