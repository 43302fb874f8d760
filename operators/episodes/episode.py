"""One episode: what its events add up to, as one row.

The row is the state: `Episode.of(episode.row(...))` goes on as if nothing had happened,
so a restart needs no events again. Everything in it has a bound.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from hashlib import blake2b
from operator import attrgetter
from typing import Any, Self

from operators.episodes.events import TOLD, Event, detail
from operators.episodes.reward import factors
from operators.episodes.steps import Step, StepLog, cut
from semloop.event import TEXT_CHARS_MAX
from semloop.settings.memory_sections import RewardSettings

TOOLS_MAX = 100
TAGS_MAX = 100
# Sums stay storable whatever agents claim.
INT_MAX = 2**63 - 1
FLOAT_MAX = sys.float_info.max


def episode_id(topic_id: str, partition: int, first_offset: int) -> str:
    """The id of the episode that begins at an offset: 32 hexadecimal digits.

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
    revision: int = 0
    agent: str | None = None
    namespace: str | None = None
    user_id: str | None = None
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
    step_log: StepLog = field(default_factory=StepLog)

    @classmethod
    def opened_by(cls, event: Event, topic_id: str, partition: int) -> Self:
        """A new one, to which the event is still to be added."""
        offset = event.kafka_offset
        return cls(
            episode_id=episode_id(topic_id, partition, offset),
            session_id=event.session_id,
            first_offset=offset,
            first_kafka_ts=event.kafka_ts,
            started_at=event.ts,
            ended_at=event.ts,
            kafka_offset=offset,
            kafka_ts=event.kafka_ts,
        )

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """The episode of a row whose times are microseconds."""
        values = {name: row[name] for name in STATE}
        return cls(**values | {"step_log": StepLog.of(row["step_log"])})

    @property
    def told(self) -> int:
        """How many messages, tool calls and errors it has: the place of the next."""
        return self.messages + self.tool_calls + self.errors

    def add(self, event: Event) -> None:
        """Count an event of the session."""
        self.kafka_offset, self.kafka_ts = event.kafka_offset, event.kafka_ts
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
            self.input_tokens = _sum(self.input_tokens, event.input_tokens)
        if event.output_tokens is not None:
            self.output_tokens = _sum(self.output_tokens, event.output_tokens)
        if event.type == "message":
            self._hear(event)
        elif event.type == "completion":
            self.outcome, self.reward_given = event.outcome, event.reward
            self.summary = _text(detail(event).summary)
        else:
            self._step(event)
        if event.type in TOLD:
            self.last_text = event.text

    def row(
        self, rewards: RewardSettings, closed_by: str | None = None
    ) -> dict[str, Any]:
        """The next revision, without its origin's topic and partition."""
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
            row |= self._rewarded(rewards, duration_ms)
        return row

    def _describe(self, event: Event) -> None:
        """What was said last holds: the end knows best what the work was."""
        self.agent = event.agent or self.agent
        self.namespace = event.namespace or self.namespace
        self.user_id = event.user_id or self.user_id
        self.task_type = event.task_type or self.task_type
        if event.task:
            self.task = _text(event.task)
        if event.tags:
            self.tags = [cut(tag) or "" for tag in event.tags[:TAGS_MAX]]

    def _hear(self, event: Event) -> None:
        """A message. What is asked is what a user says first, or else anyone."""
        self.messages += 1
        by_user = event.role == "user" and self.request_role != "user"
        if self.messages == 1 or by_user:
            self.request, self.request_role = event.text, event.role

    def _step(self, event: Event) -> None:
        """A tool call, a change of state or an error outside a tool."""
        self.steps += 1
        error_type = cut(event.error_type)
        if event.type == "tool_call":
            tool = cut(event.tool)
            self.tool_calls += 1
            self.tool_failures += event.status == "error"
            if tool and len(self.tools) < TOOLS_MAX and tool not in self.tools:
                self.tools.append(tool)
            step = Step(tool=tool, status=event.status, error_type=error_type)
        elif event.type == "error":
            self.errors += 1
            step = Step(error_type=error_type)
        else:
            step = Step(state=cut(detail(event).to_state))
        self.step_log.add(step)

    def _rewarded(self, rewards: RewardSettings, duration_ms: float) -> dict[str, Any]:
        found = factors(
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
            "reward": found.reward if given is None else given,
            "base": found.base,
            "efficiency": found.efficiency,
            "complexity_bonus": found.complexity_bonus,
            "quality": found.quality,
            "learning_bonus": found.learning_bonus,
        }


STATE = tuple(column.name for column in fields(Episode))
_state = attrgetter(*STATE)


def _sum(total: int | None, more: int) -> int:
    return min(max((total or 0) + more, -INT_MAX), INT_MAX)


def _text(text: str | None) -> str | None:
    return text[:TEXT_CHARS_MAX] if text else text
