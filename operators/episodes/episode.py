"""One episode: the aggregate of its events, as one row.

The row is the complete state: `Episode.of(episode.row(...))` continues the episode, so
a restart does not re-read events. Every field is bounded.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from hashlib import blake2b
from operator import attrgetter
from typing import Any, Self

from operators.episodes.events import MEMORABLE, Event, detail
from operators.episodes.reward import factors
from operators.episodes.steps import Step, StepLog, truncate
from semloop.event import TEXT_CHARS_MAX
from semloop.settings.memory_sections import RewardSettings

TOOLS_MAX = 100
TAGS_MAX = 100
USERS_MAX = 100
# Bounds of sums, since agents may report any numbers.
INT_MAX = 2**63 - 1
FLOAT_MAX = sys.float_info.max


def episode_id(topic_id: str, partition: int, first_offset: int) -> str:
    """Return the id of the episode that begins at an offset: 32 hexadecimal digits.

    BLAKE2b with 16 bytes of `<topic id>/<partition>/<first offset>` in UTF-8.
    """
    name = f"{topic_id}/{partition}/{first_offset}"
    return blake2b(name.encode(), digest_size=16).hexdigest()


@dataclass(slots=True)
class Episode:
    """An open episode. Fields are columns of `episodes`; times in us of UTC."""

    episode_id: str
    session_id: str
    first_offset: int
    first_kafka_ts: int | None
    started_at: int
    ended_at: int
    kafka_offset: int
    kafka_ts: int | None
    latest_kafka_ts: int
    archived_at: int
    revision: int = 0
    agent: str | None = None
    namespace: str | None = None
    user_id: str | None = None
    users: list[str] = field(default_factory=list)
    task: str | None = None
    task_type: str | None = None
    tags: list[str] | None = None
    events: int = 0
    bytes: int = 0
    messages: int = 0
    steps: int = 0
    tool_calls: int = 0
    tool_failures: int = 0
    errors: int = 0
    tools: list[str] = field(default_factory=list)
    credits_used: float = 0.0
    input_tokens: int | None = None
    output_tokens: int | None = None
    outcome: str | None = None
    summary: str | None = None
    reward_given: float | None = None
    request: str | None = None
    request_role: str | None = None
    last_text: str | None = None
    last_user: str | None = None
    step_log: StepLog = field(default_factory=StepLog)

    @classmethod
    def opened_by(cls, event: Event, topic_id: str, partition: int) -> Self:
        """Return a new episode; the event itself is not added yet."""
        offset = event.kafka_offset
        return cls(
            episode_id=episode_id(topic_id, partition, offset),
            session_id=event.session_id,
            namespace=event.namespace,
            first_offset=offset,
            first_kafka_ts=event.kafka_ts,
            started_at=event.ts,
            ended_at=event.ts,
            kafka_offset=offset,
            kafka_ts=event.kafka_ts,
            latest_kafka_ts=event.received_at,
            archived_at=event.ingested_at,
        )

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Restore the episode from a row with times in microseconds."""
        values = {name: row[name] for name in STATE}
        return cls(**values | {"step_log": StepLog.of(row["step_log"])})

    @property
    def memorable_count(self) -> int:
        """Number of messages, tool calls and errors: the position of the next one."""
        return self.messages + self.tool_calls + self.errors

    def add(self, event: Event) -> None:
        """Add the next event of the session."""
        self.kafka_offset, self.kafka_ts = event.kafka_offset, event.kafka_ts
        self.archived_at = event.ingested_at
        self.latest_kafka_ts = max(self.latest_kafka_ts, event.received_at)
        if event.ts > self.ended_at:
            self.ended_at = event.ts
        elif event.ts < self.started_at:
            self.started_at = event.ts
        self.events += 1
        self.bytes += event.bytes
        self._describe(event)
        if event.credits_used:
            total = self.credits_used + event.credits_used
            self.credits_used = min(max(total, -FLOAT_MAX), FLOAT_MAX)
        if event.input_tokens is not None:
            self.input_tokens = _add_bounded(self.input_tokens, event.input_tokens)
        if event.output_tokens is not None:
            self.output_tokens = _add_bounded(self.output_tokens, event.output_tokens)
        if event.type == "message":
            self._add_message(event)
        elif event.type == "completion":
            self.outcome, self.reward_given = event.outcome, event.reward
            self.summary = _bounded_text(detail(event).summary)
        else:
            self._add_step(event)
        if event.type in MEMORABLE:
            self.last_text, self.last_user = event.text, event.user_id

    def row(
        self, rewards: RewardSettings, closed_by: str | None = None
    ) -> dict[str, Any]:
        """Return the next revision, without its topic and partition."""
        self.revision += 1
        duration_ms = (self.ended_at - self.started_at) / 1_000
        row = dict(zip(STATE, _state(self), strict=True))
        row |= {
            "state": "closed" if closed_by else "open",
            "closed_by": closed_by,
            "duration_ms": duration_ms,
            "step_log": self.step_log.json(),
        }
        if closed_by:
            row |= self._reward_columns(rewards, duration_ms)
        return row

    def _describe(self, event: Event) -> None:
        """Update the description: later values replace earlier ones."""
        self.agent = event.agent or self.agent
        self._add_user(event.user_id)
        self.task_type = event.task_type or self.task_type
        if event.task:
            self.task = _bounded_text(event.task)
        if event.tags:
            self.tags = [truncate(tag) or "" for tag in event.tags[:TAGS_MAX]]

    def _add_user(self, user_id: str | None) -> None:
        """Add a user; an episode of several users belongs to none of them alone."""
        # An empty name is a user too: its texts must not become those of another one.
        if user_id is None or user_id in self.users:
            return
        if len(self.users) < USERS_MAX:
            self.users = [*self.users, user_id]
            self.user_id = user_id if len(self.users) == 1 else None

    def _add_message(self, event: Event) -> None:
        """Add a message; the request is the first of a user, or else of any role."""
        self.messages += 1
        by_user = event.role == "user" and self.request_role != "user"
        if self.messages == 1 or by_user:
            self.request, self.request_role = event.text, event.role

    def _add_step(self, event: Event) -> None:
        """Add a tool call, a change of state or an error outside a tool."""
        self.steps += 1
        error_type = truncate(event.error_type)
        if event.type == "tool_call":
            tool = truncate(event.tool)
            self.tool_calls += 1
            self.tool_failures += event.status == "error"
            if tool and len(self.tools) < TOOLS_MAX and tool not in self.tools:
                self.tools.append(tool)
            step = Step(tool=tool, status=event.status, error_type=error_type)
        elif event.type == "error":
            self.errors += 1
            step = Step(error_type=error_type)
        else:
            step = Step(state=truncate(detail(event).to_state))
        self.step_log.add(step)

    def _reward_columns(
        self, rewards: RewardSettings, duration_ms: float
    ) -> dict[str, Any]:
        earned = factors(
            rewards,
            outcome=self.outcome,
            duration_ms=duration_ms,
            steps=self.steps,
            failed_steps=self.tool_failures + self.errors,
            task_type=self.task_type,
            tags=self.tags or (),
        )
        given = self.reward_given
        return {
            "reward": earned.reward if given is None else given,
            "base": earned.base,
            "efficiency": earned.efficiency,
            "complexity_bonus": earned.complexity_bonus,
            "quality": earned.quality,
            "learning_bonus": earned.learning_bonus,
        }


STATE = tuple(column.name for column in fields(Episode))
_state = attrgetter(*STATE)


def _add_bounded(total: int | None, more: int) -> int:
    return min(max((total or 0) + more, -INT_MAX), INT_MAX)


def _bounded_text(text: str | None) -> str | None:
    return text[:TEXT_CHARS_MAX] if text else text
