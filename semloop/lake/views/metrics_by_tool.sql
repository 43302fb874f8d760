-- How often was each tool called in each minute, how often did it fail, how long did it take?
-- Once a date is rolled up, a day after its end, a row is a day.
WITH parts AS (
    SELECT
        minute, namespace, tool, duration_ms,
        sum(tool_calls) AS tool_calls, sum(tool_failures) AS tool_failures,
        sum(credits_used) AS credits_used
    FROM agent_metrics
    WHERE tool IS NOT NULL
    GROUP BY minute, namespace, tool, duration_ms
), counted AS (
    SELECT
        *, if(duration_ms IS NULL, 0, tool_calls) AS timed,
        sum(timed) OVER (PARTITION BY minute, namespace, tool ORDER BY duration_ms)
            AS up_to,
        sum(timed) OVER (PARTITION BY minute, namespace, tool) AS total
    FROM parts
)
SELECT
    minute, namespace, tool,
    sum(tool_calls)::BIGINT AS tool_calls, sum(tool_failures)::BIGINT AS tool_failures,
    sum(credits_used)::DOUBLE AS credits_used,
    min(duration_ms) FILTER (total > 0 AND up_to >= 0.50 * total) AS duration_p50_ms,
    min(duration_ms) FILTER (total > 0 AND up_to >= 0.95 * total) AS duration_p95_ms,
    min(duration_ms) FILTER (total > 0 AND up_to >= 0.99 * total) AS duration_p99_ms
FROM counted
GROUP BY minute, namespace, tool
