"""The arguments of `recall`, converted and validated."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self, get_args

from semloop.errors import ConfigError
from semloop.lake.recall.times import length_s, moment

Kind = Literal["event", "episode"]
K_MAX = 1_000


@dataclass(frozen=True, slots=True)
class RecallRequest:
    """One call of `recall`; None disables a filter."""

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
    max_tokens: int | None

    @classmethod
    def of(cls, arguments: Mapping[str, Any], now: datetime) -> Self:
        """Convert and validate the arguments of `Lake.recall`.

        Args:
            arguments: by name; one that is missing or None has no effect.
            now: the current time, from which durations count.

        Raises:
            ConfigError: the query is empty, k or max_tokens is out of range, the kind
                is unknown, or a number, a time or a duration is invalid.
        """
        given = dict(arguments)
        since, half_life = given.get("since"), given.get("half_life")
        min_reward, max_tokens = given.get("min_reward"), given.get("max_tokens")
        request = cls(
            query=given["query"] or "",
            k=0 if given["k"] is None else int(given["k"]),
            since=None if since is None else moment("since", since, now),
            min_reward=None if min_reward is None else float(min_reward),
            half_life_s=(
                None if half_life is None else length_s("half_life", half_life)
            ),
            words=given.get("words") is not False,
            max_tokens=None if max_tokens is None else int(max_tokens),
            **{
                name: given.get(name)
                for name in ("agent", "namespace", "session", "user", "kind")
            },
        )
        request._check()
        return request

    def _check(self) -> None:
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
        if self.max_tokens is not None and self.max_tokens < 1:
            msg = f"max_tokens is {self.max_tokens}; it must be at least 1."
            raise ConfigError(msg, "A memory of a few sentences has about 100 tokens.")
