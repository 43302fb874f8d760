-- What did each agent do in each minute, and how long did its tool calls take?
-- Once a date is rolled up, a day after its end, a row is a day.
WITH parts AS (
    SELECT
        minute, namespace, agent, duration_ms,
        sum(events) AS events, sum(messages) AS messages,
        sum(tool_calls) AS tool_calls, sum(tool_failures) AS tool_failures,
        sum(errors) AS errors, sum(completions) AS completions,
        sum(successes) AS successes, sum(partials) AS partials,
        sum(failures) AS failures, sum(credits_used) AS credits_used,
        sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
        sum(cached_tokens) AS cached_tokens, sum(reasoning_tokens) AS reasoning_tokens
    FROM agent_metrics
    GROUP BY minute, namespace, agent, duration_ms
), counted AS (
    SELECT
        *, if(duration_ms IS NULL, 0, tool_calls) AS timed,
        sum(timed) OVER (PARTITION BY minute, namespace, agent ORDER BY duration_ms)
            AS up_to,
        sum(timed) OVER (PARTITION BY minute, namespace, agent) AS total
    FROM parts
)
SELECT
    minute, namespace, agent,
    sum(events)::BIGINT AS events, sum(messages)::BIGINT AS messages,
    sum(tool_calls)::BIGINT AS tool_calls, sum(tool_failures)::BIGINT AS tool_failures,
    sum(errors)::BIGINT AS errors, sum(completions)::BIGINT AS completions,
    sum(successes)::BIGINT AS successes, sum(partials)::BIGINT AS partials,
    sum(failures)::BIGINT AS failures, sum(credits_used)::DOUBLE AS credits_used,
    -- Agents may report any number of tokens; a sum that overflows is NULL.
    try_cast(sum(input_tokens) AS BIGINT) AS input_tokens,
    try_cast(sum(output_tokens) AS BIGINT) AS output_tokens,
    try_cast(sum(cached_tokens) AS BIGINT) AS cached_tokens,
    try_cast(sum(reasoning_tokens) AS BIGINT) AS reasoning_tokens,
    min(duration_ms) FILTER (total > 0 AND up_to >= 0.50 * total) AS duration_p50_ms,
    min(duration_ms) FILTER (total > 0 AND up_to >= 0.95 * total) AS duration_p95_ms,
    min(duration_ms) FILTER (total > 0 AND up_to >= 0.99 * total) AS duration_p99_ms
FROM counted
GROUP BY minute, namespace, agent
