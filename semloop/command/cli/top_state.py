"""What `semloop top` shows, read from the views of metrics and from the flows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from semloop.lake.lake import Lake
from semloop.settings import Settings
from semloop.storage.location import Storage

# More rows than any screen has; of more, those with the most events can be sorted.
ROWS_MAX = 200
# Sums and quantiles of the events of the last minutes, by namespace and one column.
# A name has its namespace in front if there are several.
QUERY = """
WITH parts AS (
    SELECT
        {owner} AS owner, {name} AS name, duration_ms,
        sum(events) AS events, sum(tool_calls) AS calls,
        sum(tool_failures) AS failed, sum(errors) AS errors,
        sum(successes) AS successes, sum(completions) AS completions,
        sum(credits_used) AS credits
    FROM agent_metrics
    WHERE minute > now() - to_minutes($minutes)
        AND ($agent IS NULL OR agent = $agent)
        AND ($namespace IS NULL OR namespace = $namespace) {where}
    GROUP BY ALL
), counted AS (
    SELECT
        *, if(duration_ms IS NULL, 0, calls) AS timed,
        sum(timed) OVER (PARTITION BY owner, name ORDER BY duration_ms) AS up_to,
        sum(timed) OVER (PARTITION BY owner, name) AS total
    FROM parts
)
SELECT
    if(min(owner) OVER () = max(owner) OVER (), name, concat(owner, '/', name)),
    sum(events)::BIGINT, sum(calls)::BIGINT, sum(failed)::BIGINT,
    sum(errors)::BIGINT, sum(successes)::BIGINT, sum(completions)::BIGINT,
    sum(credits)::DOUBLE,
    min(duration_ms) FILTER (total > 0 AND up_to >= 0.95 * total)
FROM counted GROUP BY owner, name ORDER BY sum(events) DESC, owner, name LIMIT {rows}
"""
SESSIONS = """
SELECT count(*) FROM sessions_now
WHERE ($agent IS NULL OR agent = $agent)
    AND ($namespace IS NULL OR namespace = $namespace)
"""
AGENTS = """
SELECT count(DISTINCT (namespace, agent)) FROM agent_metrics
WHERE minute > now() - to_minutes($minutes) AND ($agent IS NULL OR agent = $agent)
    AND ($namespace IS NULL OR namespace = $namespace)
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """Sums of the events of the last minutes; `p95_ms` is of tool calls."""

    name: str
    events: int = 0
    calls: int = 0
    failed: int = 0
    errors: int = 0
    successes: int = 0
    completions: int = 0
    credits_used: float = 0.0
    p95_ms: float | None = None

    @property
    def success(self) -> float | None:
        """Share of the completions that succeeded; None without one."""
        return self.successes / self.completions if self.completions else None


@dataclass(frozen=True, slots=True)
class TopState:
    """One screen: `fleet` is the sum of the agents, `lags` what flows have to read."""

    at: datetime
    minutes: int
    fleet: Figures
    agents: Sequence[Figures]
    tools: Sequence[Figures]
    agent_count: int
    open_episodes: int
    lags: dict[str, int | None]


class TopQueries:
    """Reads states from an open lake, until it is closed."""

    def __init__(
        self, settings: Settings, agent: str | None, namespace: str | None, minutes: int
    ) -> None:
        """Open the lake.

        Args:
            settings: the lake and the topic.
            agent: only this one; None: all.
            namespace: only this one; None: all.
            minutes: how many of the last minutes to count.

        Raises:
            LakeError: there is no lake.
        """
        self._settings = settings
        self._storage = Storage.of(settings)
        self._values = {"agent": agent, "namespace": namespace}
        self._minutes = minutes
        self._lake = Lake(settings=settings)

    def state(self) -> TopState:
        """Read the present state.

        Raises:
            LakeError, StorageUnavailable: the lake cannot be read.
        """
        agents = self._figures("agent")
        tools = self._figures("tool", "AND tool IS NOT NULL")
        every = self._figures("'fleet'", owner="''")
        ((episodes,),) = self._rows(SESSIONS, self._values)
        counted = self._values | {"minutes": self._minutes}
        ((agent_count,),) = self._rows(AGENTS, counted)
        return TopState(
            datetime.now(UTC),
            self._minutes,
            every[0] if every else Figures("fleet"),
            agents,
            tools,
            int(agent_count),
            int(episodes),
            self._lags(),
        )

    def _figures(
        self, name: str, where: str = "", *, owner: str = "namespace"
    ) -> list[Figures]:
        query = QUERY.format(owner=owner, name=name, where=where, rows=ROWS_MAX)
        values = self._values | {"minutes": self._minutes}
        return [Figures(*row) for row in self._rows(query, values)]

    def _rows(self, query: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        return self._lake.sql(query, values).fetchall()

    def _lags(self) -> dict[str, int | None]:
        """Return how many offsets each flow that reads the lake has left to read."""
        from semloop.flow_registry import LAKE_READERS
        from semloop.progress.positions import behind, newest_stream

        newest = newest_stream(self._storage, self._settings.topic)
        if newest is None:
            return {}
        return {
            flow: sum(behind(self._storage, flow, *newest).values())
            for flow in LAKE_READERS
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lake.close()
