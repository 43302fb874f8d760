"""The columns of every table, with their DuckDB types.

The one list from which the Arrow schemas of the sinks, the empty typed views of
`Lake` and the documentation are made. Columns are only ever added at the end of a
group: old files then read as NULL.
"""

from collections.abc import Mapping

LAYOUT_VERSION = 2

ORIGIN = {
    "topic": "VARCHAR",
    "topic_id": "VARCHAR",
    "kafka_partition": "INTEGER",
    "kafka_offset": "BIGINT",
    "kafka_ts": "TIMESTAMPTZ",
}

# The sink stamps these at the commit: `date` is the day of `ingested_at` (UTC) and the
# partition column, since the days of the events would make hundreds of files a commit
# when history is imported.
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
    **ORIGIN,
    **STAMP,
}

# One row is one revision of an episode: the newest one holds, and those that are open
# are the state from which the flow goes on, so every sum is in its row.
EPISODES = {
    "episode_id": "VARCHAR",
    "revision": "BIGINT",
    "state": "VARCHAR",
    "closed_by": "VARCHAR",
    "session_id": "VARCHAR",
    "agent": "VARCHAR",
    "namespace": "VARCHAR",
    "user_id": "VARCHAR",
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
    "step_log": "VARCHAR",
    **ORIGIN,
    **STAMP,
}

# Of LanceDB. `kind` is `event` or `episode`; `type` that of the event. A text that is
# too long for a vector is several memories, `part` 0 and up. `seq` counts the messages,
# tool calls and errors of the episode. `search_text` is the text as it is searched: who
# said it and what, in its last line, after a line of what came before, if any did.
MEMORIES = {
    "id": "BLOB",
    "kind": "VARCHAR",
    "type": "VARCHAR",
    "part": "INTEGER",
    "text": "VARCHAR",
    "search_text": "VARCHAR",
    "vector": "FLOAT[]",
    "model": "VARCHAR",
    "ts": "TIMESTAMPTZ",
    "started_at": "TIMESTAMPTZ",
    "agent": "VARCHAR",
    "session_id": "VARCHAR",
    "user_id": "VARCHAR",
    "namespace": "VARCHAR",
    "task_type": "VARCHAR",
    "tool": "VARCHAR",
    "status": "VARCHAR",
    "error_type": "VARCHAR",
    "outcome": "VARCHAR",
    "reward": "DOUBLE",
    "importance": "DOUBLE",
    "episode_id": "VARCHAR",
    "seq": "BIGINT",
    "event_ids": "VARCHAR[]",
    **ORIGIN,
    "writer": "BIGINT",
}

# The names under which offsets and fences are kept in the Delta logs; deltalake can
# read a Transaction only by its full name, so other readers find the names here.
STREAMS = {
    "flow": "VARCHAR",
    "table_name": "VARCHAR",
    "cluster_id": "VARCHAR",
    "topic": "VARCHAR",
    "topic_id": "VARCHAR",
    "kafka_partition": "INTEGER",
    "first_seen": "TIMESTAMPTZ",
}

TABLES: Mapping[str, Mapping[str, str]] = {
    "events": EVENTS,
    "dead_letters": DEAD_LETTERS,
    "episodes": EPISODES,
    "streams": STREAMS,
}
