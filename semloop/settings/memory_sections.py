"""Settings of episodes, of their rewards, and of what is remembered.

Names are unique across sections: a setting `x` of any section is `SEMLOOP_X`.
"""

from typing import Annotated, Literal

import msgspec

from semloop.settings.fields import Count, Positive, Seconds, Section, Share
from semloop.settings.secret import Secret


class RewardBase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What each outcome is worth before anything else is known of an episode."""

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
    """A longer pause between the events of a session ends its episode, and so does so
    long without any."""

    age_s: Seconds = 86_400.0
    """An episode spans at most so long, by the time of its events."""

    events: Positive = 10_000
    """An episode has at most so many events; the next one opens another."""

    bytes: Positive = 16 * 2**20
    """Payloads and texts of an episode are at most so many bytes together, unless its
    first event alone is larger."""

    open_episodes: Positive = 10_000
    """Of more open episodes in a partition the one longest untouched is closed."""


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
    """What an episode is worth."""

    base: Annotated[
        RewardBase,
        msgspec.Meta(
            examples=['{"success": 1, "partial": 0.5, "unknown": 0.25, "failure": 0}']
        ),
    ] = RewardBase()
    """What an outcome is worth, 0 to 1; `unknown`: the episode had no completion."""

    duration_s: Positive = 600
    """Duration that counts as usual: with `reward_steps` it halves the reward."""

    steps: Positive = 20
    """Steps that count as usual: with `reward_duration_s` they halve the reward."""

    quality_min: Share = 0.5
    """What an episode keeps of its reward when all of its steps failed."""

    task_types: Annotated[
        dict[str, Share], msgspec.Meta(examples=['{"task type": 0.2, ...}'])
    ] = msgspec.field(default_factory=dict)
    """Bonus for the complexity of a task, by `task_type`."""

    tags: Annotated[dict[str, Share], msgspec.Meta(examples=['{"tag": 0.1, ...}'])] = (
        msgspec.field(default_factory=dict)
    )
    """Bonus for the complexity of a task, by tag; all together count at most as 1."""


class MemorySettings(
    Section,
    frozen=True,
    rename={
        "kinds": "memory_kinds",
        "importance_min": "memory_importance_min",
        "sample": "memory_sample",
        "poll_events": "memory_poll_events",
    },
):
    """What is remembered."""

    kinds: tuple[Literal["message", "tool_call", "error", "episode"], ...] = (
        "message",
        "tool_call",
        "error",
        "episode",
    )
    """What is remembered: which types of events, and whether closed episodes."""

    importance_min: Share = 0.0
    """Events of less importance are not remembered; those that say none are."""

    sample: Annotated[
        dict[str, Share], msgspec.Meta(examples=['{"agent": 0.1, "*/tool_call": 0.5}'])
    ] = msgspec.field(default_factory=dict)
    """Share of sessions whose events are remembered, by `agent`, `agent/type`, `*/type`
    or `*`; closed episodes are, whatever it says."""

    poll_events: Positive = 1_000
    """Events at a time: so many are embedded before they can be committed."""

    index_every_s: Seconds = 300.0
    """Between two runs of `maintain index` by `semloop up`."""


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
    """What makes vectors of texts."""

    kind: Literal["minilm", "hashing", "endpoint", "sentence-transformers"] = "minilm"
    """What makes vectors of texts; `hashing` is for tests and knows no meaning."""

    model: str | None = None
    """Of `endpoint` the model's name, of `sentence-transformers` its name or path."""

    url: str | None = None
    """Of `endpoint`, OpenAI's form or Ollama's: such as `http://localhost:11434/v1`."""

    key: Secret | None = None
    """The endpoint's API key, if it asks for one."""

    timeout_s: Seconds = 30.0
    """The endpoint's answer is waited for so long; then it is asked again."""

    retry_s: Seconds = 300.0
    """An endpoint that does not answer is asked again for so long; then the flow
    stops, and whoever restarts it goes on asking."""

    batch_tokens: Positive = 8_192
    """Tokens that an embedder gets at a time, padding counted."""

    cache_texts: Count = 20_000
    """Texts whose vectors are remembered, the latest used: 1.5 kB each with minilm."""
