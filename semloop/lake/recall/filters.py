"""The arguments of `recall`, and their filters as conditions in Lance's SQL."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from semloop.errors import ConfigError
from semloop.lake.recall.query_parser import STATUS_FILTERS, ParsedQuery
from semloop.sql_text import quoted

Kind = Literal["event", "episode"]
K_MAX = 1_000
# Argument of an equality filter -> column.
EQUALITY_FILTERS = {
    "agent": "agent",
    "namespace": "namespace",
    "session": "session_id",
    "user": "user_id",
    "kind": "kind",
}


@dataclass(frozen=True, slots=True)
class RecallRequest:
    """The converted arguments of `recall`; None disables a filter."""

    query: str
    k: int
    agent: str | None
    namespace: str | None
    session: str | None
    user: str | None
    kind: str | None
    since: datetime | None
    min_reward: float | None
    half_life_s: float | None
    words: bool

    def check(self) -> None:
        """Validate the arguments.

        Raises:
            ConfigError: the query is empty, k is out of range, the kind is unknown or
                the reward is NaN.
        """
        if not self.query.strip():
            msg = "The query is empty."
            todo = "Pass the text to search for: recall('refund refused')."
            raise ConfigError(msg, todo)
        if not 1 <= self.k <= K_MAX:
            msg = f"k is {self.k}; it must be between 1 and {K_MAX:,}."
            todo = "To count memories, use SQL: SELECT count(*) FROM memories."
            raise ConfigError(msg, todo)
        if self.kind is not None and self.kind not in get_args(Kind):
            msg = f"There is no kind {self.kind!r} of memories."
            raise ConfigError(msg, "The kinds are: event, episode.")
        if self.min_reward is not None and math.isnan(self.min_reward):
            msg = "min_reward is not a number."
            raise ConfigError(msg, "Pass a number such as 0.5.")

    def conditions(self, parsed: ParsedQuery) -> list[str]:
        """Return all filters except `min_reward`, in Lance's SQL."""
        conditions = [
            f"{column} = {literal(getattr(self, name))}"
            for name, column in EQUALITY_FILTERS.items()
            if getattr(self, name) is not None
        ]
        if parsed.status:
            conditions.append(STATUS_FILTERS[parsed.status])
        starts = (self.since, parsed.since)
        conditions += [f"ts >= {timestamp_literal(t)}" for t in starts if t]
        if parsed.until:
            conditions.append(f"ts < {timestamp_literal(parsed.until)}")
        return conditions


def literal(text: str) -> str:
    """Quote a text for Lance's SQL, whose only escape in literals is `''`."""
    return quoted(text)


def timestamp_literal(moment: datetime) -> str:
    """Format a point in time for Lance's SQL."""
    return f"timestamp '{moment.isoformat()}'"


def one_of(column: str, values: list[str]) -> str:
    """Return the condition that a column has one of these values."""
    return f"{column} IN ({', '.join(literal(value) for value in values)})"
