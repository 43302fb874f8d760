"""The reward of a closed episode, and the factors that it is made of.

    reward = base(outcome) * efficiency(duration, steps) * (1 + complexity_bonus)
             * quality(success rate of the steps) * (1 + learning_bonus)

The formula is SemLoop's own; each factor is a column of `episodes`, so that people can
weigh them otherwise. What an agent said itself always wins over it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from semloop.settings.memory_sections import RewardSettings


@dataclass(frozen=True, slots=True)
class Factors:
    """The factors of a reward, plain numbers without a unit.

    `base`: 0 to 1, by outcome. It is never negative, since the other factors would turn
    round then: of two failures the slower one would be the better.
    `efficiency`: 1 for no time and no steps, 0.5 at the usual ones, towards 0 beyond.
    `complexity_bonus`: 0 to 1. `quality`: `reward_quality_min` to 1.
    `learning_bonus`: None until there are patterns to learn from; counts as 0.
    """

    base: float
    efficiency: float
    complexity_bonus: float
    quality: float
    learning_bonus: float | None = None

    @property
    def reward(self) -> float:
        """Their product, 0 to 2 as long as there is no learning bonus."""
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
    """What an episode earned, by the weights `reward_*` of the settings.

    Args:
        settings: for the weights.
        outcome: success, partial or failure; None or any other counts as unknown.
        duration_ms: between its first and last event, at least 0.
        steps: what the agent did; `failed_steps` of them failed.
        failed_steps: 0 to `steps`.
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
    """A hyperbola, so that twice the effort never earns nothing at all."""
    duration = duration_ms / 1_000 / settings.duration_s
    return 1 / (1 + (duration + steps / settings.steps) / 2)


def _complexity_bonus(
    settings: RewardSettings, task_type: str | None, tags: Sequence[str]
) -> float:
    bonus = _looked_up(settings.task_types, [task_type] if task_type else [])
    return min(1.0, bonus + _looked_up(settings.tags, tags))


def _looked_up(bonuses: Mapping[str, float], names: Sequence[str]) -> float:
    """In a fixed order: a sum of floats depends on it."""
    return sum(bonuses.get(name, 0.0) for name in sorted(set(names)))


def _quality(settings: RewardSettings, steps: int, failed_steps: int) -> float:
    """An episode without steps did nothing wrong."""
    rate = 1 - failed_steps / steps if steps else 1.0
    return settings.quality_min + (1 - settings.quality_min) * rate
