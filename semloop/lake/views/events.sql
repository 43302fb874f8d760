-- What happened? One row is one event, redacted, each event id once in its namespace.
SELECT
    event_id, type, ts, agent, session_id, user_id, namespace, task, task_type, tags,
    tool, status, outcome, reward, score, label, error_type, duration_ms, credits_used,
    model, input_tokens, output_tokens, role, text, payload, extra, context_hash,
    trace_id, span_id, parent_span_id, importance, artifacts,
    agent_version, prompt_id, prompt_version, run_id, cached_tokens, reasoning_tokens,
    topic, topic_id, kafka_partition, kafka_offset, kafka_ts, ingested_at
FROM tables.events
