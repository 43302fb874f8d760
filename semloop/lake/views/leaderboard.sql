-- Which agents succeed, at what cost, and how fast are their tools? Of the last 30 days.
-- The interval of the success rate is Wilson's, for 95 %. `money` is NULL without
-- tokens, and if a price is missing.
WITH recent AS NOT MATERIALIZED (
    -- The table itself: durations are counted by bucket, and shown at the end.
    FROM tables.agent_metrics
    -- Of the same days as the costs.
    WHERE minute >= ((now() AT TIME ZONE 'UTC')::DATE - 30)::TIMESTAMP AT TIME ZONE 'UTC'
), summed AS (
    SELECT
        namespace, agent, sum(events)::BIGINT AS events,
        sum(tool_calls)::BIGINT AS tool_calls,
        sum(tool_failures)::BIGINT AS tool_failures, sum(errors)::BIGINT AS errors,
        sum(completions)::BIGINT AS completions, sum(successes)::BIGINT AS successes,
        sum(credits_used)::DOUBLE AS credits_used,
        nullif(sum(completions), 0)::DOUBLE AS n, sum(successes) / n AS p,
        1.96 * sqrt(p * (1 - p) / n + 0.9604 / n ** 2) AS half
    FROM recent
    GROUP BY namespace, agent
), timed AS (
    -- Apart from the sums: these are the most groups, so they carry one sum only.
    SELECT namespace, agent, duration_bucket, sum(tool_calls) AS calls
    FROM recent
    WHERE duration_bucket IS NOT NULL
    GROUP BY namespace, agent, duration_bucket
), counted AS (
    SELECT
        namespace, agent, 0.99 * pow(1.01 / 0.99, duration_bucket) AS duration_ms,
        sum(calls) OVER (PARTITION BY namespace, agent ORDER BY duration_bucket) AS up_to,
        sum(calls) OVER (PARTITION BY namespace, agent) AS total
    FROM timed
), durations AS (
    SELECT
        namespace, agent,
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
LEFT JOIN durations
    ON summed.namespace = durations.namespace AND summed.agent = durations.agent
