-- Which agents succeed, at what cost, and how fast are their tools? Of the last 30 days.
-- The interval of the success rate is Wilson's, for 95 %. `money` is NULL if a price is
-- missing.
WITH parts AS (
    SELECT
        namespace, agent, duration_bucket,
        sum(events) AS events, sum(tool_calls) AS tool_calls,
        sum(tool_failures) AS tool_failures, sum(errors) AS errors,
        sum(completions) AS completions, sum(successes) AS successes,
        sum(credits_used) AS credits_used
    -- By buckets, which is faster than by what they show.
    FROM tables.agent_metrics
    -- Of the same days as the costs.
    WHERE minute >= ((now() AT TIME ZONE 'UTC')::DATE - 30)::TIMESTAMP AT TIME ZONE 'UTC'
    GROUP BY namespace, agent, duration_bucket
), counted AS (
    SELECT
        *, if(duration_bucket IS NULL, 0, tool_calls) AS timed,
        0.99 * pow(1.01 / 0.99, duration_bucket) AS duration_ms,
        sum(timed) OVER (PARTITION BY namespace, agent ORDER BY duration_bucket)
            AS up_to,
        sum(timed) OVER (PARTITION BY namespace, agent) AS total
    FROM parts
), summed AS (
    SELECT
        namespace, agent, sum(events)::BIGINT AS events,
        sum(tool_calls)::BIGINT AS tool_calls,
        sum(tool_failures)::BIGINT AS tool_failures, sum(errors)::BIGINT AS errors,
        sum(completions)::BIGINT AS completions, sum(successes)::BIGINT AS successes,
        sum(credits_used)::DOUBLE AS credits_used,
        nullif(sum(completions), 0)::DOUBLE AS n, sum(successes) / n AS p,
        1.96 * sqrt(p * (1 - p) / n + 0.9604 / n ** 2) AS half,
        min(duration_ms) FILTER (total > 0 AND up_to >= 0.50 * total) AS duration_p50_ms,
        min(duration_ms) FILTER (total > 0 AND up_to >= 0.95 * total) AS duration_p95_ms,
        min(duration_ms) FILTER (total > 0 AND up_to >= 0.99 * total) AS duration_p99_ms
    FROM counted
    GROUP BY namespace, agent
), costs AS (
    SELECT
        namespace, agent,
        if(bool_or(price = 'missing'), NULL, sum(money)) AS money
    FROM cost_by_namespace
    WHERE day >= (now() AT TIME ZONE 'UTC')::DATE - 30
    GROUP BY namespace, agent
)
SELECT
    summed.namespace, summed.agent, events, completions, successes, p AS success_rate,
    (p + 1.9208 / n - half) / (1 + 3.8416 / n) AS success_at_least,
    (p + 1.9208 / n + half) / (1 + 3.8416 / n) AS success_at_most,
    tool_calls, tool_failures, errors, credits_used,
    credits_used / nullif(successes, 0) AS credits_per_success,
    money, money / nullif(successes, 0) AS money_per_success,
    duration_p50_ms, duration_p95_ms, duration_p99_ms
FROM summed
LEFT JOIN costs ON summed.namespace = costs.namespace AND summed.agent = costs.agent
