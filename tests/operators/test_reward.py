"""The reward: within its bounds, never NaN, and monotonic in its inputs."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.episodes.reward import Factors, factors
from semloop.settings.memory_sections import RewardBase, RewardSettings

OUTCOMES = st.sampled_from(["success", "partial", "failure", None, "other"])
# Beyond the maximum age and number of steps of an episode.
DURATIONS = st.floats(0, 1e15)
STEPS = st.integers(0, 10**9)
SHARES = st.floats(0, 1)
NAMES = st.sampled_from(["booking", "research", "x"])
WEIGHTS = st.builds(
    RewardSettings,
    base=st.builds(
        RewardBase, success=SHARES, partial=SHARES, unknown=SHARES, failure=SHARES
    ),
    duration_s=st.integers(1, 10**6),
    steps=st.integers(1, 10**6),
    quality_min=SHARES,
    task_types=st.dictionaries(NAMES, SHARES),
    tags=st.dictionaries(NAMES, SHARES),
)


def earned(settings: RewardSettings | None = None, **known: Any) -> Factors:
    values: dict[str, Any] = {
        "outcome": "success",
        "duration_ms": 0,
        "steps": 0,
        "failed_steps": 0,
    }
    return factors(settings or RewardSettings(), **(values | known))


@given(
    settings=WEIGHTS,
    outcome=OUTCOMES,
    duration_ms=DURATIONS,
    steps=STEPS,
    failed=SHARES,
    task_type=st.none() | NAMES,
    tags=st.lists(NAMES),
)
def test_every_factor_is_within_its_bounds(
    settings: RewardSettings,
    outcome: str | None,
    duration_ms: float,
    steps: int,
    failed: float,
    task_type: str | None,
    tags: list[str],
) -> None:
    found = factors(
        settings,
        outcome=outcome,
        duration_ms=duration_ms,
        steps=steps,
        failed_steps=int(steps * failed),
        task_type=task_type,
        tags=tags,
    )
    assert 0 <= found.base <= 1
    assert 0 < found.efficiency <= 1
    assert 0 <= found.complexity_bonus <= 1
    assert settings.quality_min <= found.quality <= 1 + 1e-12
    assert found.learning_bonus is None
    assert 0 <= found.reward <= 2 + 1e-12


@given(
    settings=WEIGHTS,
    outcome=OUTCOMES,
    durations=st.tuples(DURATIONS, DURATIONS),
    steps=st.tuples(STEPS, STEPS),
)
def test_more_effort_never_earns_more(
    settings: RewardSettings,
    outcome: str | None,
    durations: tuple[float, float],
    steps: tuple[int, int],
) -> None:
    (quick, slow), (few, many) = sorted(durations), sorted(steps)
    less = earned(settings, outcome=outcome, duration_ms=quick, steps=few)
    more = earned(settings, outcome=outcome, duration_ms=slow, steps=many)
    assert more.reward <= less.reward


@given(settings=WEIGHTS, steps=STEPS, shares=st.tuples(SHARES, SHARES))
def test_more_failures_never_earn_more(
    settings: RewardSettings, steps: int, shares: tuple[float, float]
) -> None:
    few, many = sorted(int(steps * share) for share in shares)
    less = earned(settings, steps=steps, failed_steps=few)
    assert earned(settings, steps=steps, failed_steps=many).reward <= less.reward


def test_a_better_outcome_earns_more() -> None:
    order = ["failure", None, "partial", "success"]
    found = [earned(outcome=outcome).reward for outcome in order]
    assert found == [0.0, 0.25, 0.5, 1.0]
    assert earned(outcome="other") == earned(outcome=None)


def test_the_usual_duration_and_steps_halve_the_efficiency() -> None:
    assert earned(duration_ms=600_000, steps=20).efficiency == 0.5
    assert earned(duration_ms=600_000).efficiency == pytest.approx(1 / 1.5)
    assert earned(steps=20).efficiency == pytest.approx(1 / 1.5)


def test_failed_steps_reduce_quality_down_to_its_minimum() -> None:
    assert earned(steps=4, failed_steps=4).quality == 0.5
    assert earned(steps=4, failed_steps=1).quality == 0.875
    assert earned(steps=0).quality == 1.0


def test_the_complexity_bonus_depends_on_task_type_and_tags() -> None:
    settings = RewardSettings(
        task_types={"booking": 0.25}, tags={"group": 0.5, "visa": 0.75}
    )

    def bonus(task_type: str | None, *tags: str) -> float:
        return earned(settings, task_type=task_type, tags=tags).complexity_bonus

    assert bonus(None) == 0
    assert bonus("booking", "other") == 0.25
    assert bonus("booking", "group", "group") == 0.75
    assert bonus("booking", "group", "visa") == 1.0
    # Tags and task types are looked up separately.
    assert bonus("group", "booking") == 0
    assert earned(settings, task_type="booking").reward == 1.25


def test_a_learning_bonus_multiplies_the_reward() -> None:
    assert Factors(1, 0.5, 0.5, 0.5, 1.0).reward == 0.75
    assert Factors(1, 0.5, 0.5, 0.5, None).reward == 0.375
    assert not math.isnan(Factors(0, 0.0, 0, 0.0, None).reward)
