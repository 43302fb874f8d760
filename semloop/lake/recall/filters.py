"""Which memories may be hits, as a condition that Lance checks inside each search."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from semloop.errors import ConfigError
from semloop.lake.recall.query_parser import STATUS_FILTERS, ParsedQuery
from semloop.sql_text import quoted

Kind = Literal["event", "episode"]
K_MAX = 1_000
# Argument -> column.
EQUAL = {
    "agent": "agent",
    "namespace": "namespace",
    "session": "session_id",
    "user": "user_id",
    "kind": "kind",
}


@dataclass(frozen=True, slots=True)
class RecallRequest:
    """The arguments of `recall` as they are meant; NULL and None leave a filter out."""

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
        """Refuse what cannot be answered.

        Raises:
            ConfigError: no query, k out of bounds, no such kind, a reward that is none.
        """
        if not self.query.strip():
            msg = "The query is empty."
            raise ConfigError(msg, "Say what to look for: recall('refund refused').")
        if not 1 <= self.k <= K_MAX:
            msg = f"k is {self.k}; it must be between 1 and {K_MAX:,}."
            raise ConfigError(msg, "Ask in SQL for counts: SELECT .. FROM memories.")
        if self.kind is not None and self.kind not in get_args(Kind):
            msg = f"There is no kind {self.kind!r} of memories."
            raise ConfigError(msg, "The kinds are: event, episode.")
        if self.min_reward is not None and math.isnan(self.min_reward):
            msg = "min_reward is not a number."
            raise ConfigError(msg, "Give a number such as 0.5.")

    def conditions(self, understood: ParsedQuery) -> list[str]:
        """All filters but that of rewards, in Lance's SQL."""
        found = [
            f"{column} = {literal(getattr(self, name))}"
            for name, column in EQUAL.items()
            if getattr(self, name) is not None
        ]
        if understood.what:
            found.append(STATUS_FILTERS[understood.what])
        found += [f"ts >= {at(t)}" for t in (self.since, understood.since) if t]
        if understood.until:
            found.append(f"ts < {at(understood.until)}")
        return found


def literal(text: str) -> str:
    """A text in Lance's SQL, whose literals know no escape but the doubled quote."""
    return quoted(text)


def at(moment: datetime) -> str:
    """A moment in Lance's SQL."""
    return f"timestamp '{moment.isoformat()}'"


def one_of(column: str, values: list[str]) -> str:
    """The condition that a column has one of these values."""
    return f"{column} IN ({', '.join(literal(value) for value in values)})"
