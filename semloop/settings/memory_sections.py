"""Settings of episodes, rewards, memories and embeddings.

Names are unique across sections: a setting `x` of any section is `SEMLOOP_X`.
"""

from typing import Annotated, Literal

import msgspec

from semloop.settings.fields import Count, Positive, Seconds, Section, Share
from semloop.settings.secret import Secret


class RewardBase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The reward of each outcome, before other properties of an episode modify it."""

    success: Share = 1.0
    partial: Share = 0.5
    unknown: Share = 0.25
    failure: Share = 0.0


class EpisodeSettings(
    Section,
    frozen=True,
    rename={
        "age_s": "episode_age_s",
        "events": "episode_events",
        "bytes": "episode_bytes",
    },
):
    """When an episode ends."""

    session_gap_s: Seconds = 1_800.0
    """Seconds without an event of the session that end its episode, either between two
    events or after the last one."""

    delivery_max_s: Seconds = 120.0
    """Maximum seconds between the Kafka timestamp of a record and its arrival at the
    broker: the longest `message.timeout.ms` of your producers, in seconds."""

    age_s: Seconds = 86_400.0
    """Maximum span of an episode in seconds, by the timestamps of its events."""

    events: Positive = 10_000
    """Maximum events per episode; the next event opens a new one."""

    bytes: Positive = 16 * 2**20
    """Maximum bytes of payloads and texts per episode, unless its first event alone is
    larger."""

    open_episodes: Positive = 10_000
    """Maximum open episodes per namespace and partition; beyond it the least recently
    updated one of the namespace is closed."""

    open_episodes_total: Positive = 40_000
    """Maximum open episodes of all namespaces per partition; beyond it the least
    recently updated one is closed."""


class RewardSettings(
    Section,
    frozen=True,
    rename={
        "base": "reward_base",
        "duration_s": "reward_duration_s",
        "steps": "reward_steps",
        "quality_min": "reward_quality_min",
        "task_types": "reward_task_types",
        "tags": "reward_tags",
    },
):
    """How the reward of an episode is computed."""

    base: Annotated[
        RewardBase,
        msgspec.Meta(
            examples=['{"success": 1, "partial": 0.5, "unknown": 0.25, "failure": 0}']
        ),
    ] = RewardBase()
    """Reward of each outcome, 0 to 1; `unknown`: the episode has no completion."""

    duration_s: Positive = 600
    """Typical duration in seconds: an episode that takes it, and `reward_steps` steps,
    gets half of the reward."""

    steps: Positive = 20
    """Typical number of steps; see `reward_duration_s`."""

    quality_min: Share = 0.5
    """Factor of the reward if all steps of the episode failed."""

    task_types: Annotated[
        dict[str, Share], msgspec.Meta(examples=['{"task type": 0.2, ...}'])
    ] = msgspec.field(default_factory=dict)
    """Bonus for the complexity of a task, by `task_type`."""

    tags: Annotated[dict[str, Share], msgspec.Meta(examples=['{"tag": 0.1, ...}'])] = (
        msgspec.field(default_factory=dict)
    )
    """Bonus for the complexity of a task, by tag; the sum is limited to 1."""


class MemorySettings(
    Section,
    frozen=True,
    rename={
        "kinds": "memory_kinds",
        "importance_min": "memory_importance_min",
        "sample": "memory_sample",
        "event_chars": "memory_event_chars",
        "event_parts": "memory_event_parts",
        "poll_events": "memory_poll_events",
    },
):
    """What becomes a memory."""

    kinds: tuple[Literal["message", "tool_call", "error", "episode"], ...] = (
        "message",
        "tool_call",
        "error",
        "episode",
    )
    """Event types that become memories; `episode`: closed episodes do, too."""

    importance_min: Share = 0.0
    """Minimum importance of a remembered event; events without one are remembered."""

    sample: Annotated[
        dict[str, Share], msgspec.Meta(examples=['{"agent": 0.1, "*/tool_call": 0.5}'])
    ] = msgspec.field(default_factory=dict)
    """Share of sessions whose events are remembered, by `agent`, `agent/type`, `*/type`
    or `*`; closed episodes, errors and failed tool calls are always remembered."""

    event_chars: Annotated[int, msgspec.Meta(ge=1_000, le=4_000_000)] = 200_000
    """Maximum characters of an event that become memories. Of a longer event, the
    beginning, the end and reports of errors between them are remembered."""

    event_parts: Annotated[int, msgspec.Meta(ge=2, le=10_000)] = 400
    """Maximum memories of an event; more parts are reduced like characters."""

    poll_events: Positive = 1_000
    """Events per poll; all of them are embedded before the next commit."""

    index_every_s: Seconds = 300.0
    """Seconds between two runs of `maintain index` by `semloop up`."""


class RecallSettings(Section, frozen=True, rename={"memory_mb": "recall_memory_mb"}):
    """How memories are searched."""

    memory_mb: Count = 256
    """MiB in which a `Lake` that recalls again and again may hold the memories: recall
    is then faster. If they do not fit they are searched on storage; 0: always."""


class EmbeddingSettings(
    Section,
    frozen=True,
    rename={
        "kind": "embedder",
        "model": "embedder_model",
        "url": "embedder_url",
        "key": "embedder_key",
        "timeout_s": "embedder_timeout_s",
        "retry_s": "embedder_retry_s",
        "batch_tokens": "embed_batch_tokens",
        "cache_texts": "embed_cache_texts",
    },
):
    """The embedder, which computes the vectors of texts."""

    kind: Literal["minilm", "hashing", "endpoint", "sentence-transformers"] = "minilm"
    """The embedder; `hashing` is for tests and compares words, not meaning."""

    model: str | None = None
    """Model name for `endpoint`; model name or path for `sentence-transformers`."""

    url: str | None = None
    """URL for `endpoint`, with OpenAI's or Ollama's API, for example
    `http://localhost:11434/v1`."""

    key: Secret | None = None
    """API key of the endpoint, if it requires one."""

    timeout_s: Seconds = 30.0
    """Timeout of a request to the endpoint in seconds; after it the request is
    retried."""

    retry_s: Seconds = 300.0
    """Seconds to retry an endpoint that does not answer; then the flow stops. After a
    restart it retries again."""

    batch_tokens: Positive = 8_192
    """Tokens per batch for the embedder, padding included."""

    cache_texts: Count = 20_000
    """Texts in the LRU cache of vectors; 1.5 kB each with minilm."""
