"""The word on either side of each threshold."""

import pytest

from sslbench.errors import Collapsed, DataError, Diverged
from sslbench.health.course import Course
from sslbench.health.verdict import Health, Thresholds, judge, judge_failure

LIMITS = Thresholds()
UNTRAINED = {"spread": 40.0, "neighbours": 0.07}
SOUND = {
    "rank": 40.0,
    "rank_share": 0.3,
    "spread": 50.0,
    "spread_share": 0.4,
    "deviation": 0.6,
    "alignment": 0.3,
    "uniformity": -1.5,
    "neighbours": 0.2,
}
CLUSTERS = {"used": 1.0, "entropy": 0.9, "distinct": 1.0}


def word(changes: dict[str, float], course: Course | None = None) -> str:
    return judge({**SOUND, **changes}, UNTRAINED, course or Course(1.0, 100)).verdict


def test_a_sound_run_is_healthy_and_says_no_reason() -> None:
    health = judge(SOUND, UNTRAINED, Course(1.0, 100))
    assert (health.verdict, health.why, health.step) == ("healthy", (), None)
    assert health.signals == SOUND
    assert health.untrained == UNTRAINED
    assert health.thresholds == LIMITS.model_dump()


@pytest.mark.parametrize(
    ("below", "above"),
    [
        ({"deviation": 0.0009}, {"deviation": 0.001}),
        ({"spread": 23.9, "neighbours": 0.07}, {"spread": 24.0, "neighbours": 0.07}),
        ({"spread": 5.0, "neighbours": 0.104}, {"spread": 5.0, "neighbours": 0.106}),
    ],
)
def test_dimensional_collapse(below: dict[str, float], above: dict[str, float]) -> None:
    assert word(below) == "dimensional collapse"
    assert word(above) == "healthy"


@pytest.mark.parametrize("kind", ["clusters", "prototypes"])
@pytest.mark.parametrize("signal", ["used", "entropy", "distinct"])
def test_cluster_collapse(kind: str, signal: str) -> None:
    sound = {f"{kind}_{name}": value for name, value in CLUSTERS.items()}
    limit = getattr(LIMITS, signal)
    assert word(sound) == "healthy"
    assert word({**sound, f"{kind}_{signal}": limit}) == "healthy"
    assert word({**sound, f"{kind}_{signal}": limit - 0.001}) == "cluster collapse"


def test_a_flat_loss_is_named_unless_something_worse_is_found() -> None:
    flat = Course(1.0, 200)
    for step in range(1, 201):
        flat.follow(step, ["loss"], 6.23, 1.0)
    assert word({}, flat) == "not learning"
    assert word({"deviation": 0.0}, flat) == "dimensional collapse"
    assert "between 6.23 and 6.23 for all of 200 steps" in judge(SOUND, UNTRAINED, flat).why[0]


def test_divergence_comes_first_then_dimensions_and_every_reason_is_kept() -> None:
    signals = {**SOUND, "deviation": 0.0, "prototypes_used": 0.0}
    course = Course(1.0, 100, jumps=16, jumped=7)
    health = judge(signals, UNTRAINED, course)
    assert health.verdict == "diverged at step 7"
    assert health.step == 7
    assert [reason.split()[0] for reason in health.why] == ["the", "deviation", "prototypes_used"]
    assert judge(signals, UNTRAINED, Course(1.0, 100)).verdict == "dimensional collapse"


def test_an_encoder_without_a_step_is_neither_sound_nor_collapsed() -> None:
    assert judge({**SOUND, "deviation": 0.0}, SOUND, Course(1.0, 0)).verdict == "untrained"


def test_failures_have_a_word_where_they_say_something_of_health() -> None:
    health = judge_failure(Diverged("loss not finite", 7))
    assert health is not None
    assert (health.verdict, health.step) == ("diverged at step 7", 7)
    health = judge_failure(Collapsed("all equal", 31))
    assert health is not None
    assert (health.verdict, health.step) == ("dimensional collapse", 31)
    assert judge_failure(DataError("no such image")) is None
    assert judge_failure(Diverged("a probe's")) is None


def test_it_survives_the_manifest() -> None:
    health = judge({**SOUND, "deviation": 0.0}, UNTRAINED, Course(1.0, 100, jumps=16, jumped=7))
    assert Health.model_validate_json(health.model_dump_json()) == health
