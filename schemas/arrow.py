"""Arrow schemas of every table, derived from the column lists of `semloop.tables`."""

from collections.abc import Mapping

import pyarrow as pa

from semloop import tables

ARROW_TYPES: Mapping[str, pa.DataType] = {
    "VARCHAR": pa.string(),
    "VARCHAR[]": pa.list_(pa.string()),
    "BLOB": pa.binary(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "DECIMAL(38,0)": pa.decimal128(38, 0),
    "DECIMAL(38,9)": pa.decimal128(38, 9),
    "TIMESTAMPTZ": pa.timestamp("us", "UTC"),
    "DATE": pa.date32(),
}


def arrow_schema(columns: Mapping[str, str]) -> pa.Schema:
    """Return the Arrow schema of a table given as {column: DuckDB type}."""
    return pa.schema([(name, ARROW_TYPES[kind]) for name, kind in columns.items()])


def unstamped(columns: Mapping[str, str]) -> dict[str, str]:
    """Return a table's columns without those that the sink sets at the commit."""
    return {name: kind for name, kind in columns.items() if name not in tables.STAMP}


EVENTS = arrow_schema(tables.EVENTS)
DEAD_LETTERS = arrow_schema(tables.DEAD_LETTERS)
EPISODES = arrow_schema(tables.EPISODES)
AGENT_METRICS = arrow_schema(tables.AGENT_METRICS)
STREAMS = arrow_schema(tables.STREAMS)
DEAD_LETTER_ACTIONS = arrow_schema(tables.DEAD_LETTER_ACTIONS)

# Output of the operators: the same without `ingested_at` and `date`.
DECODED_EVENTS = arrow_schema(unstamped(tables.EVENTS))
DECODED_DEAD_LETTERS = arrow_schema(unstamped(tables.DEAD_LETTERS))
METRIC_SUMS = arrow_schema(unstamped(tables.AGENT_METRICS))
EPISODE_REVISIONS = arrow_schema(unstamped(tables.EPISODES))

# Operators emit memories with these columns; later steps add the vector, its model and
# the writer.
MEMORY_TEXTS = arrow_schema(
    {
        name: kind
        for name, kind in tables.MEMORIES.items()
        if name not in {"id", "vector", "model", "writer"}
    }
).insert(0, pa.field("id", pa.binary(16), nullable=False))


def memories(dimension: int, model: str) -> pa.Schema:
    """Return the schema of a table of memories, for one model and dimension."""
    fields = {field.name: field for field in MEMORY_TEXTS}
    fields["vector"] = pa.field("vector", pa.list_(pa.float32(), dimension))
    fields["model"] = pa.field("model", pa.string())
    fields["writer"] = pa.field("writer", pa.int64())
    ordered = [fields[name] for name in tables.MEMORIES]
    return pa.schema(ordered, {"semloop.model": model})


# Position of each memorable event (message, tool call, error): its episode, the number
# of memorable events before it in that episode, and text and user of the last of them.
EPISODE_POSITIONS = arrow_schema(
    {
        "kafka_offset": "BIGINT",
        "episode_id": "VARCHAR",
        "seq": "BIGINT",
        "context": "VARCHAR",
        "context_user": "VARCHAR",
    }
)

# Output of the Kafka source: one row per record, not interpreted. `headers` is a JSON
# array of [name, value] pairs; `schema_version` and `idempotency_key` are two of them,
# and `replay` is `schemas.replay.Mark.text`, which is made of three.
# A null `value` is a tombstone.
RECORDS = pa.schema(
    [
        *((name, ARROW_TYPES[kind]) for name, kind in tables.ORIGIN.items()),
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("headers", pa.string()),
        ("schema_version", pa.string()),
        ("idempotency_key", pa.string()),
        ("replay", pa.string()),
    ]
)
