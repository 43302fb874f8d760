"""The tables of a lake: columns with their DuckDB types, and how files are written.

The Arrow schemas of the sinks, the empty typed views of `Lake` and the documentation
derive from this list. Columns are only ever added at the end of a group: they read as
NULL in older files.
"""

from semloop import agent_metrics
from semloop.table_declaration import Table

# Of new lakes; `semloop/layout.py` says which others are supported.
LAYOUT_VERSION = 3
# Written by the first writer; where it is, a lake is.
LAYOUT_FILE = "_layout.json"

ORIGIN = {
    "topic": "VARCHAR",
    "topic_id": "VARCHAR",
    "kafka_partition": "INTEGER",
    "kafka_offset": "BIGINT",
    "kafka_ts": "TIMESTAMPTZ",
}

# The sink sets these at the commit. `date` is the day of `ingested_at` (UTC) and the
# partition column; the day of the event would write hundreds of files per commit during
# an import of history.
STAMP = {"ingested_at": "TIMESTAMPTZ", "date": "DATE"}

EVENTS = {
    "event_id": "VARCHAR",
    "type": "VARCHAR",
    "ts": "TIMESTAMPTZ",
    "agent": "VARCHAR",
    "session_id": "VARCHAR",
    "user_id": "VARCHAR",
    "namespace": "VARCHAR",
    "task": "VARCHAR",
    "task_type": "VARCHAR",
    "tags": "VARCHAR[]",
    "tool": "VARCHAR",
    "status": "VARCHAR",
    "outcome": "VARCHAR",
    "reward": "DOUBLE",
    "score": "DOUBLE",
    "label": "VARCHAR",
    "error_type": "VARCHAR",
    "duration_ms": "DOUBLE",
    "credits_used": "DOUBLE",
    "model": "VARCHAR",
    "input_tokens": "BIGINT",
    "output_tokens": "BIGINT",
    "role": "VARCHAR",
    "text": "VARCHAR",
    "payload": "VARCHAR",
    "extra": "VARCHAR",
    "context_hash": "VARCHAR",
    "trace_id": "VARCHAR",
    "span_id": "VARCHAR",
    "parent_span_id": "VARCHAR",
    "importance": "DOUBLE",
    "artifacts": "VARCHAR",
    "agent_version": "VARCHAR",
    "prompt_id": "VARCHAR",
    "prompt_version": "VARCHAR",
    "run_id": "VARCHAR",
    "cached_tokens": "BIGINT",
    "reasoning_tokens": "BIGINT",
    **ORIGIN,
    **STAMP,
}

DEAD_LETTERS = {
    "id": "VARCHAR",
    "reason": "VARCHAR",
    "detail": "VARCHAR",
    "agent": "VARCHAR",
    "session_id": "VARCHAR",
    "user_id": "VARCHAR",
    "key": "BLOB",
    "headers": "VARCHAR",
    "raw": "BLOB",
    "replay_of": "VARCHAR",
    "replay_origin": "VARCHAR",
    "attempt": "INTEGER",
    **ORIGIN,
    **STAMP,
}

# What was done with dead letters, in no order: a row may be there twice. `origin` is
# that of the dead letter, as text; `record` is that of the record which became the
# event, NULL if a person acted.
DEAD_LETTER_ACTIONS = {
    "dead_letter_id": "VARCHAR",
    "origin": "VARCHAR",
    "action": "VARCHAR",
    "attempt": "INTEGER",
    "event_id": "VARCHAR",
    "record": "VARCHAR",
    "note": "VARCHAR",
    "acted_at": "TIMESTAMPTZ",
}

# One row per revision of an episode; the newest revision is current. The flow resumes
# from the revisions of open episodes, so each row contains all running sums.
EPISODES = {
    "episode_id": "VARCHAR",
    "revision": "BIGINT",
    "state": "VARCHAR",
    "closed_by": "VARCHAR",
    "session_id": "VARCHAR",
    "agent": "VARCHAR",
    "namespace": "VARCHAR",
    "user_id": "VARCHAR",
    "users": "VARCHAR[]",
    "task": "VARCHAR",
    "task_type": "VARCHAR",
    "tags": "VARCHAR[]",
    "started_at": "TIMESTAMPTZ",
    "ended_at": "TIMESTAMPTZ",
    "duration_ms": "DOUBLE",
    "first_offset": "BIGINT",
    "first_kafka_ts": "TIMESTAMPTZ",
    "events": "BIGINT",
    "bytes": "BIGINT",
    "messages": "BIGINT",
    "steps": "BIGINT",
    "tool_calls": "BIGINT",
    "tool_failures": "BIGINT",
    "errors": "BIGINT",
    "tools": "VARCHAR[]",
    "credits_used": "DOUBLE",
    "input_tokens": "BIGINT",
    "output_tokens": "BIGINT",
    "outcome": "VARCHAR",
    "summary": "VARCHAR",
    "reward_given": "DOUBLE",
    "reward": "DOUBLE",
    "base": "DOUBLE",
    "efficiency": "DOUBLE",
    "complexity_bonus": "DOUBLE",
    "quality": "DOUBLE",
    "learning_bonus": "DOUBLE",
    "request": "VARCHAR",
    "request_role": "VARCHAR",
    "last_text": "VARCHAR",
    "last_user": "VARCHAR",
    "step_log": "VARCHAR",
    "latest_kafka_ts": "TIMESTAMPTZ",
    "archived_at": "TIMESTAMPTZ",
    **ORIGIN,
    **STAMP,
}

# A LanceDB table. `kind` is `event` or `episode`; `type` is the event's. A text that is
# too long for one vector is stored as several memories, `part` 0 and up. `seq` counts
# the messages, tool calls and errors of the episode. `search_text` is the searched
# text: its last line has the author and the text, preceded by a line with the previous
# text of the episode, if there is one; `context_user` is the user of that one. `words`
# are the distinct terms of `search_text`, separated by spaces, for the full-text index.
# `features` is what recall ranks by, as `semloop.lake.recall.features` packs it, and
# `position` a hash of episode and `seq`, by which it finds neighbours.
MEMORIES = {
    "id": "BLOB",
    "kind": "VARCHAR",
    "type": "VARCHAR",
    "part": "INTEGER",
    "text": "VARCHAR",
    "search_text": "VARCHAR",
    "words": "VARCHAR",
    "features": "BLOB",
    "vector": "FLOAT[]",
    "model": "VARCHAR",
    "ts": "TIMESTAMPTZ",
    "started_at": "TIMESTAMPTZ",
    "agent": "VARCHAR",
    "session_id": "VARCHAR",
    "user_id": "VARCHAR",
    "namespace": "VARCHAR",
    "context_user": "VARCHAR",
    "task_type": "VARCHAR",
    "tool": "VARCHAR",
    "status": "VARCHAR",
    "error_type": "VARCHAR",
    "outcome": "VARCHAR",
    "reward": "DOUBLE",
    "importance": "DOUBLE",
    "episode_id": "VARCHAR",
    "seq": "BIGINT",
    "position": "BIGINT",
    "event_ids": "VARCHAR[]",
    **ORIGIN,
    "writer": "BIGINT",
}

# One row is what the events of one commit add to the counts of `agent_metrics.KEYS`,
# so several rows may have the same keys; compaction adds them up. The origin is that of
# the last of the events.
AGENT_METRICS = {
    **agent_metrics.KEYS,
    **agent_metrics.SUMS,
    **ORIGIN,
    **STAMP,
}

# The names under which the Delta logs store offsets and fences. deltalake can read a
# Transaction only by its full name, so other readers look the names up here.
STREAMS = {
    "flow": "VARCHAR",
    "table_name": "VARCHAR",
    "cluster_id": "VARCHAR",
    "topic": "VARCHAR",
    "topic_id": "VARCHAR",
    "kafka_partition": "INTEGER",
    "first_seen": "TIMESTAMPTZ",
}

_POSITION = ("topic_id", "kafka_partition", "kafka_offset", "kafka_ts", "ingested_at")
_EPISODE = ("topic_id", "kafka_partition", "namespace", "session_id", "episode_id")
TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "events",
            EVENTS,
            ("date",),
            ("ts", "session_id", *_POSITION),
            compacted_by=("ts",),
            compacted_filters=("session_id", "event_id"),
        ),
        Table(
            "dead_letters",
            DEAD_LETTERS,
            ("date",),
            ("session_id", *_POSITION),
            compacted_by=("kafka_ts",),
            compacted_filters=("session_id", "id"),
        ),
        Table(
            "episodes",
            EPISODES,
            ("date",),
            ("session_id", *_POSITION),
            compacted_by=("started_at",),
            compacted_filters=("session_id", "episode_id"),
            folded_by=_EPISODE,
        ),
        Table(
            "agent_metrics",
            AGENT_METRICS,
            ("date",),
            ("minute", *_POSITION),
            compacted_by=("minute",),
            summed_by=("topic", "topic_id", "kafka_partition", *agent_metrics.KEYS),
        ),
        Table("dead_letter_actions", DEAD_LETTER_ACTIONS, compacted_by=("acted_at",)),
        Table("streams", STREAMS, statistics=("topic_id", "kafka_partition")),
        Table("memories", MEMORIES, format="lance"),
    )
}
COMPACTED_TABLES = tuple(name for name, t in TABLES.items() if t.compacted_by)
DELTA_TABLES = tuple(name for name, t in TABLES.items() if t.format == "delta")
