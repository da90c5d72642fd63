"""Losses and weights that run away, and such as only look like it."""

from dataclasses import asdict

import pytest

from sslbench.health.course import Course


def followed(losses: list[float], weights: list[float] | None = None, terms: str = "a") -> Course:
    course = Course(10.0, len(losses))
    for step, loss in enumerate(losses, start=1):
        names = ["loss", terms if step <= len(losses) // 2 or terms == "a" else "b"]
        course.follow(step, names, loss, weights[step - 1] if weights else 10.0)
    return course


def test_a_falling_loss_and_steady_weights_are_no_divergence() -> None:
    course = followed([5 - step / 50 for step in range(200)])
    assert course.diverged is None
    assert course.jumps == 0


def swinging(factor: float, steps: int, of: int) -> list[float]:
    """Up and down by ``factor`` in so many steps from the seventh on, then still."""
    high = [step % 2 == 0 for step in range(steps)]
    swings = [10.0 * factor if up else 10.0 for up in high]
    return [10.0] * 6 + swings + [swings[-1]] * (of - 6 - steps)


@pytest.mark.parametrize(
    ("factor", "steps", "diverged"),
    [(1.06, 16, 7), (1.06, 15, None), (1.04, 90, None), (0.94, 16, 7), (2.0, 16, 7)],
)
def test_weights_that_jump_in_many_steps(factor: float, steps: int, diverged: int | None) -> None:
    assert followed([1.0] * 100, swinging(factor, steps, 100)).diverged == diverged


def test_the_first_step_counts_too() -> None:
    course = followed([1.0] * 5, [40.0] * 5)
    assert (course.jumps, course.jumped, course.diverged) == (1, 1, 1)


def test_weights_may_grow_by_much_at_the_start_and_in_many_small_steps() -> None:
    growth = [10 * 1.3**step for step in range(1, 11)]
    assert followed([1.0] * 100, [*growth, *[growth[-1]] * 90]).diverged is None
    assert followed([1.0] * 100, [10 * 1.04**step for step in range(1, 101)]).diverged is None


def test_a_loss_that_rises_far_above_its_beginning_and_stays_there() -> None:
    losses = [4.0] * 50 + [3.0] * 50 + [9.0] * 100
    course = followed(losses)
    assert course.diverged is not None
    assert 101 <= course.diverged <= 110  # it is smoothed


def test_a_loss_that_comes_down_again_has_not_diverged() -> None:
    assert followed([4.0] * 100 + [9.0] * 50 + [3.0] * 100).diverged is None


@pytest.mark.parametrize(("last", "diverged"), [(4.9, False), (5.2, True)])
def test_a_quarter_above_the_highest_of_the_opening_is_far(last: float, diverged: bool) -> None:
    assert (followed([4.0] * 100 + [last] * 200).diverged is not None) == diverged


def test_a_loss_around_zero_is_measured_by_how_far_it_has_fallen() -> None:
    falls = [-step / 100 for step in range(100)]  # 0 .. -1, as a negative cosine
    assert followed([*falls, *[0.1] * 100]).diverged is None
    assert followed([*falls, *[0.5] * 100]).diverged is not None


def test_a_loss_that_rises_at_first_while_a_queue_fills_is_compared_with_the_whole_opening() -> (
    None
):
    assert followed([4.5, 5.8, 6.6, 7.0, *[8.0] * 40, *[7.3] * 200]).diverged is None


def test_a_loss_is_compared_with_steps_of_the_same_terms_only() -> None:
    losses = [7.0] * 100 + [12.0] * 100
    assert followed(losses, terms="two").diverged is None
    assert followed(losses).diverged is not None


def test_terms_that_come_later_have_a_beginning_of_their_own() -> None:
    later = [5.0] * 40 + [9.0] * 60
    assert followed([12.0] * 100 + later, terms="two").diverged is not None
    assert followed([12.0] * 100 + later).diverged is None


@pytest.mark.parametrize(("step", "flat"), [(0.0002, True), (0.0005, False), (-0.0005, False)])
def test_a_loss_that_stays_where_it_began_is_flat(step: float, flat: bool) -> None:
    assert followed([6.2 + n * step for n in range(120)]).is_flat == flat
    assert not followed([6.2 + n * step for n in range(90)]).is_flat  # too few steps to say so


def test_a_loss_that_rose_and_came_back_was_not_flat_nor_is_one_around_zero() -> None:
    assert not followed([5.0] * 50 + [6.0] * 50 + [5.0] * 50).is_flat
    assert not followed([-0.001 * n for n in range(150)]).is_flat
    assert followed([-0.9] * 150).is_flat


def test_flatness_is_of_steps_with_the_same_terms() -> None:
    losses = [7.0] * 100 + [12.0] * 100
    assert followed(losses, terms="two").is_flat
    assert not followed(losses).is_flat


def test_it_goes_on_from_its_state() -> None:
    losses = [4.0] * 60 + [9.0] * 60
    whole = followed(losses)
    course = Course(10.0, 120)
    for step, loss in enumerate(losses, start=1):
        course = Course(**asdict(course))
        course.follow(step, ["loss", "a"], loss, 10.0)
    assert course == whole
    assert course.diverged is not None
