"""The messages that SemLoop produces for subscribers, and the names of their topics.

A value is JSON. A message may be repeated after a crash: it has absolute values and
names what it is about, so applying it again changes nothing. No message has texts of
events: who may read these asks the lake.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

import msgspec

DAY_MS = 24 * 3_600 * 1_000
Count = Annotated[int, msgspec.Meta(ge=0)]


class AgentMinute(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an agent did in a minute, so far: a row of the view `metrics_by_agent`.

    A later message with the same key has the newer values.
    """

    minute: datetime
    namespace: str
    agent: str
    events: Count
    messages: Count
    tool_calls: Count
    tool_failures: Count
    errors: Count
    completions: Count
    successes: Count
    partials: Count
    failures: Count
    credits_used: float
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    duration_p50_ms: float | None = None
    duration_p95_ms: float | None = None
    duration_p99_ms: float | None = None

    @property
    def key(self) -> bytes:
        """Minute, namespace and agent, as JSON."""
        return msgspec.json.encode((self.minute, self.namespace, self.agent))


class ClosedEpisode(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A revision of a closed episode; one with a larger revision replaces it."""

    episode_id: str
    revision: int
    closed_by: str
    namespace: str
    session_id: str
    agent: str
    user_id: str | None = None
    task_type: str | None = None
    started_at: datetime
    ended_at: datetime
    duration_ms: float | None = None
    events: Count
    steps: Count
    tool_calls: Count
    tool_failures: Count
    errors: Count
    credits_used: float
    input_tokens: int | None = None
    output_tokens: int | None = None
    outcome: str | None = None
    reward: float | None = None
    topic: str
    topic_id: str
    kafka_partition: int
    first_offset: int
    last_offset: int

    @property
    def key(self) -> bytes:
        """The id of the episode."""
        return self.episode_id.encode()


class StoredMemories(msgspec.Struct, frozen=True, kw_only=True):
    """Memories that became visible with one commit, or a part of many of them."""

    memories: Count
    events: Count
    """How many of them are of events."""
    episodes: Count
    """How many of them are of closed episodes."""
    namespaces: dict[str, Count]
    """How many of them are of each namespace."""
    ids: list[str]
    """Column `id` of the view `memories`, as hexadecimal digits."""

    @property
    def key(self) -> None:
        """Partitions are chosen at random."""
        return None


PublishedMessage = AgentMinute | ClosedEpisode | StoredMemories
Name = Literal["metrics", "episodes", "memories"]


@dataclass(frozen=True)
class PublishedTopic:
    """A topic that SemLoop produces to.

    Attributes:
        name: its name, without the prefix of the setting `publish_prefix`.
        flow: the flow that produces to it.
        message: what its values are.
        compacted: True if Kafka keeps the newest message of each key, for a day.
    """

    name: Name
    flow: str
    message: type[PublishedMessage]
    compacted: bool = False

    @property
    def config(self) -> Mapping[str, str]:
        """The configuration of the topic where the broker's default does not do."""
        if self.compacted:
            # Nothing is produced about older minutes, so none is kept for long.
            return {"cleanup.policy": "compact,delete", "retention.ms": str(DAY_MS)}
        return {"cleanup.policy": "delete"}


PUBLISHED: Mapping[str, PublishedTopic] = {
    topic.name: topic
    for topic in (
        PublishedTopic("metrics", "metrics", AgentMinute, compacted=True),
        PublishedTopic("episodes", "memory", ClosedEpisode),
        PublishedTopic("memories", "memory", StoredMemories),
    )
}


def topics_of(flow: str, names: Iterable[str]) -> list[PublishedTopic]:
    """Return those of the named topics that a flow produces to."""
    return [PUBLISHED[name] for name in names if PUBLISHED[name].flow == flow]
