-- What did agents do in each minute, in numbers that can be added up? One row is a part of them.
-- Each commit of `metrics` adds rows, so several may have the same minute, agent and so
-- on: always use sums. The durations of a row are within 1 % of the one that it shows;
-- semloop/agent_metrics.py has the buckets.
SELECT
    minute, namespace, agent, agent_version, user_id, tool, model,
    0.99 * pow(1.01 / 0.99, duration_bucket) AS duration_ms,
    events, messages, tool_calls, tool_failures, errors, state_changes, completions,
    successes, partials, failures, feedback, tool_starts, credits_used, input_tokens,
    output_tokens, cached_tokens, reasoning_tokens,
    topic, topic_id, kafka_partition, kafka_offset, kafka_ts, ingested_at
FROM tables.agent_metrics
