"""What each column of each view means, with its unit.

`Lake` attaches these texts to its views as comments when a query asks for
`duckdb_columns()`, and `semloop sql --print-init` for SQL editors;
`docs/reference/views.md` is generated from them.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from semloop.lake import metric_columns
from semloop.sql_text import quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ORIGIN = {
    "topic": "Kafka topic that the record came from.",
    "topic_id": "Id of the topic; a topic created again has a new one.",
    "kafka_partition": "Partition of the record.",
    "kafka_offset": "Offset of the record in its partition.",
    "kafka_ts": "Kafka's timestamp of the record; if absurd, its time of arrival.",
}
_COMMITTED = {"ingested_at": "Time at which the flow committed the row."}

EVENTS = {
    "event_id": "UUID of the event, chosen by its producer; unique in the view.",
    "type": "tool_call, state_change, completion, error, message, feedback or "
    "tool_start, a tool call that runs for long.",
    "ts": "Time of the event by its producer's clock.",
    "agent": "Name of the agent.",
    "session_id": "Session that the event belongs to; the usual key of the record.",
    "user_id": "User that the agent worked for.",
    "namespace": "Tenant or application; `default` if the event has none.",
    "task": "Task in words, from the completion's payload or from `meta`.",
    "task_type": "Kind of task, a word to group by.",
    "tags": "Free labels of the event.",
    "tool": "Name of the tool; tool_call only.",
    "status": "success or error; tool_call only.",
    "outcome": "success, partial or failure; completion only.",
    "reward": "Reward that the producer gave; completion only.",
    "score": "Score of a judgement; feedback only.",
    "label": "Label of a judgement; feedback only.",
    "error_type": "Class of the error; error and failed tool_call only.",
    "duration_ms": "Duration of the tool call in milliseconds.",
    "credits_used": "Cost of the event in the producer's own unit; 0 if not given.",
    "model": "Language model that wrote the message.",
    "input_tokens": "Tokens that the model read.",
    "output_tokens": "Tokens that the model wrote.",
    "role": "user, assistant, system or tool; message only.",
    "text": "One line, at most 4,000 characters: of a longer text ends and errors.",
    "payload": "Whole payload as JSON text; query it by `payload->>'$.result'`.",
    "extra": "Fields of the envelope that this version does not know, as JSON text.",
    "context_hash": "`sha256:` and the hash of the context that the agent worked with.",
    "trace_id": "OpenTelemetry trace id.",
    "span_id": "OpenTelemetry span id; of tool calls by `Agent`, one for each.",
    "parent_span_id": "OpenTelemetry id of the parent span: the call around it.",
    "importance": "Weight from 0 to 1 that the producer gave the event.",
    "artifacts": "Values that were too large for the row, as a JSON array with the "
    "column, path, object, bytes and sha256 of each.",
    "agent_version": "Version of the agent.",
    "prompt_id": "Prompt with which the agent worked.",
    "prompt_version": "Version of the prompt.",
    "run_id": "Run that the event belongs to, of an experiment or a deployment.",
    "cached_tokens": "Part of `input_tokens` that a cache had.",
    "reasoning_tokens": "Part of `output_tokens` that the model only thought.",
    **_ORIGIN,
    **_COMMITTED,
}

DEAD_LETTERS = {
    "id": "Id of the dead letter, derived from its origin or its idempotency key.",
    "reason": "Code of the reason; docs/reference/dead-letters.md lists them.",
    "detail": "Field, what it got and what is allowed; never free text.",
    "state": "open, replayed, resolved or parked; attempt: a replay that failed again,"
    " of a dead letter that has a state of its own.",
    "attempts": "Number of replays; of an attempt, its own number.",
    "event_id": "Event that a replay became; NULL if a person resolved it.",
    "note": "Why a person, or archive, resolved or parked it last.",
    "replay_of": "Of an attempt: the dead letter that was replayed.",
    "agent": "Agent of the record, where it could be read.",
    "session_id": "Session of the record, where it could be read.",
    "user_id": "User of the record, where it could be read.",
    "key": "Redacted key of the record.",
    "headers": "Redacted headers of the record, as JSON text.",
    "raw": "Redacted bytes of the record; empty for a record above the size limit.",
    **_ORIGIN,
    **_COMMITTED,
}

EPISODES = {
    "episode_id": "Id of the episode, derived from the origin of its first event.",
    "revision": "Number of the revision that the row shows; each commit adds one.",
    "state": "open or closed.",
    "closed_by": "completion, gap, inactive, evicted, age, events or bytes.",
    "session_id": "Session that the episode belongs to.",
    "agent": "Agent of the latest event.",
    "namespace": "Namespace of the session.",
    "user_id": "User of the events; NULL if none or several are named.",
    "users": "Users that events name, at most 100.",
    "task": "Task in words, as an event named it last.",
    "task_type": "Kind of task, as an event named it last.",
    "tags": "Labels of the latest event that has some.",
    "started_at": "Time of the earliest event.",
    "ended_at": "Time of the latest event.",
    "duration_ms": "Time between the earliest and the latest event, in milliseconds.",
    "first_offset": "Offset of the first event.",
    "first_kafka_ts": "Kafka's timestamp of the first event.",
    "events": "Number of events.",
    "bytes": "Size of the events' payloads in bytes.",
    "messages": "Number of messages.",
    "steps": "Number of tool calls, state changes and errors.",
    "tool_calls": "Number of tool calls.",
    "tool_failures": "Number of tool calls with the status error.",
    "errors": "Number of error events.",
    "tools": "Names of the tools that were called, each once.",
    "credits_used": "Sum of the events' credits.",
    "input_tokens": "Sum of the tokens that models read.",
    "output_tokens": "Sum of the tokens that models wrote.",
    "outcome": "Outcome of the completion; NULL if none closed the episode.",
    "summary": "Summary from the completion.",
    "reward_given": "Reward from the completion; NULL if it has none.",
    "reward": "`reward_given`, or else the product of the factors; NULL if open.",
    "base": "Factor of the reward, 0 to 1: the outcome.",
    "efficiency": "Factor of the reward, 0 to 1: few steps in little time.",
    "complexity_bonus": "Factor of the reward, 0 to 1: by task type and tags.",
    "quality": "Factor of the reward, 0 to 1: the share of steps that succeeded.",
    "learning_bonus": "Factor of the reward for learned patterns; NULL today.",
    "request": "First message of a user, else of any role, shortened.",
    "request_role": "Role of the message in `request`.",
    "last_text": "Text of the latest message, tool call or error, shortened.",
    "last_user": "User of that message, tool call or error.",
    "step_log": "First and last 40 steps in order, as JSON text.",
    "latest_kafka_ts": "Latest of Kafka's timestamps of the events.",
    "archived_at": "Time at which `archive` committed the last event.",
    **_ORIGIN,
    **_COMMITTED,
    "episode": "Number of the episode in its session, from 1.",
    "previous_episode_id": "Episode of the session before this one.",
    "feedback": "Latest feedback per name and source, as a list of structs.",
}

MEMORIES = {
    "id": "Id of the memory, 16 bytes, derived from its origin and part.",
    "kind": "event or episode.",
    "type": "Type of the event; NULL for an episode.",
    "part": "Number of the part, from 0, where a text is too long for one vector.",
    "text": "Text of the memory.",
    "context": "Line before the event in its session, which is searched with it.",
    "vector": "Embedding of the text, of length 1.",
    "model": "Model that made the vector.",
    "ts": "Time of the event, or of the episode's latest event.",
    "started_at": "Time at which the episode started.",
    "agent": "Name of the agent.",
    "session_id": "Session of the event or episode.",
    "user_id": "User that the agent worked for.",
    "namespace": "Tenant or application.",
    "task_type": "Kind of task.",
    "tool": "Name of the tool; tool_call only.",
    "status": "success or error; tool_call only.",
    "error_type": "Class of the error.",
    "outcome": "Outcome of the episode; NULL while it is open.",
    "reward": "Reward of the episode; NULL while it is open.",
    "importance": "Weight from 0 to 1 that the producer gave the event.",
    "episode_id": "Episode that the memory belongs to.",
    "seq": "Number of the message, tool call or error in its episode.",
    "event_ids": "Events that the text was made of.",
    **_ORIGIN,
}

SESSIONS = {
    "namespace": "Namespace of the session.",
    "session_id": "Id of the session, unique within its namespace.",
    "state": "open if one of its episodes is, else closed.",
    "episodes": "Number of episodes.",
    "agents": "Agents of the episodes, each once.",
    "users": "Users that events of the episodes name, each once.",
    "tasks": "Tasks of the episodes, each once.",
    "started_at": "Time of the earliest event.",
    "ended_at": "Time of the latest event.",
    "events": "Number of events.",
    "messages": "Number of messages.",
    "steps": "Number of tool calls, state changes and errors.",
    "tool_calls": "Number of tool calls.",
    "tool_failures": "Number of tool calls with the status error.",
    "errors": "Number of error events.",
    "tools": "Names of the tools that were called, each once.",
    "credits_used": "Sum of the events' credits.",
    "input_tokens": "Sum of the tokens that models read; NULL if it exceeds BIGINT.",
    "output_tokens": "Sum of the tokens that models wrote; NULL if it exceeds BIGINT.",
    "outcome": "Outcome of the episode that closed last.",
    "reward": "Mean reward of the episodes.",
}

RUNNING_CALLS = {
    "namespace": "Tenant or application.",
    "session_id": "Session of the call.",
    "agent": "Name of the agent.",
    "user_id": "User that the agent works for.",
    "task": "Task in words.",
    "tool": "Name of the tool.",
    "call_id": "Id that the model gave the call.",
    "started_at": "When the call began, by its producer's clock.",
    "reported_at": "When the agent reported that it runs.",
    "event_id": "UUID of the report, an event of the type tool_start.",
    "trace_id": "OpenTelemetry trace id.",
    "span_id": "Id of the call.",
    "parent_span_id": "Id of the call around it.",
}

VIEW_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "agent_metrics": {**metric_columns.AGENT_METRICS, **_ORIGIN, **_COMMITTED},
    "cost_by_namespace": metric_columns.COST_BY_NAMESPACE,
    "dead_letters": DEAD_LETTERS,
    "episodes": EPISODES,
    "events": EVENTS,
    "leaderboard": metric_columns.LEADERBOARD,
    "memories": MEMORIES,
    "metrics_by_agent": metric_columns.METRICS_BY_AGENT,
    "metrics_by_tool": metric_columns.METRICS_BY_TOOL,
    "metrics_by_version": metric_columns.METRICS_BY_VERSION,
    "refused_events": metric_columns.REFUSED_EVENTS,
    "running_calls": RUNNING_CALLS,
    "sessions": SESSIONS,
    "sessions_now": metric_columns.SESSIONS_NOW,
    "tool_failures": metric_columns.TOOL_FAILURES,
}


def comment_statements() -> Iterator[str]:
    """Yield a statement per column that attaches its text to the view."""
    for view, columns in VIEW_COLUMNS.items():
        for column, text in columns.items():
            yield f"COMMENT ON COLUMN {view}.{column} IS {quoted(text)}"


def comment_if_queried(connection: "DuckDBPyConnection", query: str) -> bool:
    """Comment the columns if a query reads the comments; return True if it does.

    Comments at each opening of a lake would be half of its cost.
    """
    if "duckdb_columns" not in query.lower():
        return False
    connection.execute(";".join(comment_statements()))
    return True
