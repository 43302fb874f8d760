"""The choices of a schedule: drawn from a seed, or given, and made fewer.

A choice is a number below a bound; 0 is the calm one: the same process, no fault. So a
schedule is the numbers that are not 0, by their place, and a smaller one has fewer.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")
Plan = Mapping[int, int]


class Choices:
    """The choices of one schedule; `made` are those that were not 0, by place."""

    def __init__(self, seed: int | None, plan: Plan | None = None) -> None:
        """Take the choices from a seed, or from a plan in which all others are 0."""
        self._drawn = random.Random(seed).random
        self._plan = plan
        self._place = -1
        self.made: dict[int, int] = {}
        self.calm = False

    def occurs(self, chance: float) -> bool:
        """Return True with a chance; False is the calm choice."""
        # Written out: a schedule makes thousands of these choices.
        if self.calm:
            return False
        self._place += 1
        if self._plan is not None:
            chosen = self._plan.get(self._place, 0) == 1
        else:
            chosen = self._drawn() < chance
        if chosen:
            self.made[self._place] = 1
        return chosen

    def one_of(self, values: Sequence[T]) -> T:
        """Return one of the values; the first one is the calm choice."""
        if self.calm:
            return values[0]
        self._place += 1
        if self._plan is not None:
            number = self._plan.get(self._place, 0) % len(values)
        else:
            number = int(self._drawn() * len(values))
        if number:
            self.made[self._place] = number
        return values[number]


def shrink(plan: Plan, fails: Callable[[Plan], bool], tries_max: int = 400) -> Plan:
    """Return a part of a plan that fails too, by leaving out ever smaller pieces."""
    left = dict(plan)
    size, tries = max(1, len(left) // 2), 0
    while tries < tries_max:
        smaller = False
        places = sorted(left)
        for start in range(0, len(places), size):
            gone = set(places[start : start + size])
            candidate = {place: n for place, n in left.items() if place not in gone}
            tries += 1
            if len(candidate) < len(left) and fails(candidate):
                left, smaller = candidate, True
        if size == 1 and not smaller:
            break
        size = max(1, size // 2)
    return left
