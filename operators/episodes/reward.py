"""The reward of a closed episode and its factors.

    reward = base(outcome) * efficiency(duration, steps) * (1 + complexity_bonus)
             * quality(success rate of the steps) * (1 + learning_bonus)

The formula is SemLoop's own; each factor is a column of `episodes`, so that users can
weight them differently. A reward that the agent reports takes precedence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from semloop.settings.memory_sections import RewardSettings


@dataclass(frozen=True, slots=True)
class Factors:
    """The factors of a reward, plain numbers without a unit.

    `base`: 0 to 1, by outcome. A negative base would invert the other factors: the
    slower of two failures would get the higher reward.
    `efficiency`: 1 for no time and no steps, 0.5 at the usual ones, towards 0 beyond.
    `complexity_bonus`: 0 to 1. `quality`: `reward_quality_min` to 1.
    `learning_bonus`: None, which counts as 0, until there are patterns to learn from.
    """

    base: float
    efficiency: float
    complexity_bonus: float
    quality: float
    learning_bonus: float | None = None

    @property
    def reward(self) -> float:
        """Product of the factors; 0 to 2 without a learning bonus."""
        bonuses = (1 + self.complexity_bonus) * (1 + (self.learning_bonus or 0.0))
        return self.base * self.efficiency * self.quality * bonuses


def factors(
    settings: RewardSettings,
    *,
    outcome: str | None,
    duration_ms: float,
    steps: int,
    failed_steps: int,
    task_type: str | None = None,
    tags: Sequence[str] = (),
) -> Factors:
    """Return the factors of an episode, by the weights `reward_*` of the settings.

    Args:
        settings: the weights.
        outcome: success, partial or failure; any other value or None is unknown.
        duration_ms: time from the first to the last event, at least 0.
        steps: number of steps of the agent.
        failed_steps: number of failed steps, 0 to `steps`.
        task_type: looked up in `reward_task_types`.
        tags: each looked up once in `reward_tags`.
    """
    return Factors(
        base=_base(settings, outcome),
        efficiency=_efficiency(settings, duration_ms, steps),
        complexity_bonus=_complexity_bonus(settings, task_type, tags),
        quality=_quality(settings, steps, failed_steps),
    )


def _base(settings: RewardSettings, outcome: str | None) -> float:
    worth = settings.base
    if outcome == "success":
        return worth.success
    if outcome == "partial":
        return worth.partial
    if outcome == "failure":
        return worth.failure
    return worth.unknown


def _efficiency(settings: RewardSettings, duration_ms: float, steps: int) -> float:
    """Return a hyperbola, so that efficiency never reaches 0."""
    duration = duration_ms / 1_000 / settings.duration_s
    return 1 / (1 + (duration + steps / settings.steps) / 2)


def _complexity_bonus(
    settings: RewardSettings, task_type: str | None, tags: Sequence[str]
) -> float:
    bonus = _looked_up(settings.task_types, [task_type] if task_type else [])
    return min(1.0, bonus + _looked_up(settings.tags, tags))


def _looked_up(bonuses: Mapping[str, float], names: Sequence[str]) -> float:
    """Sum in a fixed order, since a sum of floats depends on it."""
    return sum(bonuses.get(name, 0.0) for name in sorted(set(names)))


def _quality(settings: RewardSettings, steps: int, failed_steps: int) -> float:
    """Return the quality; an episode without steps has a success rate of 1."""
    rate = 1 - failed_steps / steps if steps else 1.0
    return settings.quality_min + (1 - settings.quality_min) * rate
