"""A second list of the columns of every table, so that no change is accidental."""

import pyarrow as pa
import pytest

from schemas import arrow
from semloop import tables

ORIGIN = """\
topic: string
topic_id: string
kafka_partition: int32
kafka_offset: int64
kafka_ts: timestamp[us, tz=UTC]"""

EVENTS = f"""\
event_id: string
type: string
ts: timestamp[us, tz=UTC]
agent: string
session_id: string
user_id: string
namespace: string
task: string
task_type: string
tags: list<item: string>
tool: string
status: string
outcome: string
reward: double
score: double
label: string
error_type: string
duration_ms: double
credits_used: double
model: string
input_tokens: int64
output_tokens: int64
role: string
text: string
payload: string
extra: string
context_hash: string
trace_id: string
span_id: string
parent_span_id: string
importance: double
artifacts: string
agent_version: string
prompt_id: string
prompt_version: string
run_id: string
cached_tokens: int64
reasoning_tokens: int64
{ORIGIN}
ingested_at: timestamp[us, tz=UTC]
date: date32[day]"""

DEAD_LETTERS = f"""\
id: string
reason: string
detail: string
agent: string
session_id: string
user_id: string
key: binary
headers: string
raw: binary
replay_of: string
replay_origin: string
attempt: int32
{ORIGIN}
ingested_at: timestamp[us, tz=UTC]
date: date32[day]"""

AGENT_METRICS = f"""\
minute: timestamp[us, tz=UTC]
namespace: string
agent: string
agent_version: string
user_id: string
tool: string
model: string
duration_bucket: int32
events: int64
messages: int64
tool_calls: int64
tool_failures: int64
errors: int64
state_changes: int64
completions: int64
successes: int64
partials: int64
failures: int64
feedback: int64
tool_starts: int64
credits_used: decimal128(38, 9)
input_tokens: decimal128(38, 0)
output_tokens: decimal128(38, 0)
cached_tokens: decimal128(38, 0)
reasoning_tokens: decimal128(38, 0)
{ORIGIN}
ingested_at: timestamp[us, tz=UTC]
date: date32[day]"""

EPISODES = f"""\
episode_id: string
revision: int64
state: string
closed_by: string
session_id: string
agent: string
namespace: string
user_id: string
users: list<item: string>
task: string
task_type: string
tags: list<item: string>
started_at: timestamp[us, tz=UTC]
ended_at: timestamp[us, tz=UTC]
duration_ms: double
first_offset: int64
first_kafka_ts: timestamp[us, tz=UTC]
events: int64
bytes: int64
messages: int64
steps: int64
tool_calls: int64
tool_failures: int64
errors: int64
tools: list<item: string>
credits_used: double
input_tokens: int64
output_tokens: int64
outcome: string
summary: string
reward_given: double
reward: double
base: double
efficiency: double
complexity_bonus: double
quality: double
learning_bonus: double
request: string
request_role: string
last_text: string
last_user: string
step_log: string
latest_kafka_ts: timestamp[us, tz=UTC]
archived_at: timestamp[us, tz=UTC]
{ORIGIN}
ingested_at: timestamp[us, tz=UTC]
date: date32[day]"""

DEAD_LETTER_ACTIONS = """\
dead_letter_id: string
origin: string
action: string
attempt: int32
event_id: string
record: string
note: string
acted_at: timestamp[us, tz=UTC]"""

STREAMS = """\
flow: string
table_name: string
cluster_id: string
topic: string
topic_id: string
kafka_partition: int32
first_seen: timestamp[us, tz=UTC]"""


def described(schema: pa.Schema) -> str:
    return "\n".join(f"{field.name}: {field.type}" for field in schema)


@pytest.mark.parametrize(
    ("schema", "golden"),
    [
        pytest.param(arrow.EVENTS, EVENTS, id="events"),
        pytest.param(arrow.DEAD_LETTERS, DEAD_LETTERS, id="dead_letters"),
        pytest.param(arrow.DEAD_LETTER_ACTIONS, DEAD_LETTER_ACTIONS, id="actions"),
        pytest.param(arrow.EPISODES, EPISODES, id="episodes"),
        pytest.param(arrow.AGENT_METRICS, AGENT_METRICS, id="agent_metrics"),
        pytest.param(arrow.STREAMS, STREAMS, id="streams"),
    ],
)
def test_a_table_has_the_golden_columns_and_types(
    schema: pa.Schema, golden: str
) -> None:
    assert described(schema) == golden


def test_every_table_is_in_the_golden_list() -> None:
    assert set(tables.DELTA_TABLES) == {
        "events",
        "dead_letters",
        "dead_letter_actions",
        "episodes",
        "agent_metrics",
        "streams",
    }
    assert {*tables.TABLES} - {*tables.DELTA_TABLES} == {"memories"}


def test_operators_emit_all_columns_except_those_of_the_commit() -> None:
    for stored, decoded in (
        (arrow.EVENTS, arrow.DECODED_EVENTS),
        (arrow.DEAD_LETTERS, arrow.DECODED_DEAD_LETTERS),
        (arrow.EPISODES, arrow.EPISODE_REVISIONS),
        (arrow.AGENT_METRICS, arrow.METRIC_SUMS),
    ):
        assert stored.names == [*decoded.names, "ingested_at", "date"]


def test_no_column_name_is_a_reserved_sql_keyword() -> None:
    import duckdb

    reserved = {
        word
        for (word,) in duckdb.sql(
            "SELECT keyword_name FROM duckdb_keywords() "
            "WHERE keyword_category = 'reserved'"
        ).fetchall()
    }
    for table in tables.TABLES.values():
        assert not reserved & set(table.columns)
